"""What lies on a volume: layout, receipts, partial files, links, the lease. Nothing here touches the network."""
