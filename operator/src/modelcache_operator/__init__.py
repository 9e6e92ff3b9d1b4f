"""The ModelCache operator: watches caches and pods, records status, opens the gate."""
