"""What lies on a volume: layout, receipts, partial files, links, the lock. Nothing here touches the network."""
