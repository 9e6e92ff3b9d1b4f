"""Pure parts: manifest, requirements, receipts and reports as values. Nothing here touches network or volume."""
