"""The HTTP server, tested over real sockets with a small engine that draws real MP4 files."""
