"""``init-sync serve``: what receipts prove on a volume, offered read-only in the hub's own HTTP API.

The server is threads over plain sockets, for these reasons, measured in docs/benchmarks.md:

- A file is sent by sendfile. When its bytes are not in the page cache, sendfile waits for the disk: that may hold one
  thread, never an event loop with all its clients. asyncio, aiohttp and uvicorn send from the loop or copy every byte.
- A thread costs 60 to 170 KiB, and there are 256 of them at most: 58 MiB in all.
- ``http.server`` reads 100 fields of 64 KiB each, without a limit of time for the whole head, accepts what RFC 9112
  calls ambiguous, and blocks for ever on a client that does not read. What is needed of HTTP/1.1 is small.

This layer knows volumes and nothing of the hub's client, of syncs or of manifests.
"""
