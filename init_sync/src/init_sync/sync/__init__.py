"""A sync in five steps: check, plan, fetch, publish, receipt."""
