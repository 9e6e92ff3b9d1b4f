"""End-to-end checks on a real cluster; `make e2e` runs them."""
