"""The HTTP server: MultiTalk behind the Videos API that OpenAI's clients already speak.

From the edge inwards, one noun a module:

- `config`: flags and environment into one frozen `ServerConfig`.
- `program`, `ranks`, `follower`, `exits`: one process for each GPU: which serves, and how the others start and end.
- `volume`: the receipts of the model volume, checked before anything else happens.
- `lifecycle`: the process: socket, signals, loading, draining, exit code.
- `service`: the parts of one server, put together.
- `connections`, `access`, `hosts`: which requests are accepted, and how slow they may be.
- `app`, `videos`, `operations`, `errors`, `wire`: HTTP in and out.
- `admission`, `multipart`, `fields`, `request`, `prober`: a request body made into a `GenerationRequest`, or refused.
- `jobs`, `job_queue`, `job_table`, `retention`, `scratch`: jobs and their states, how long they are kept, and where.
- `worker`, `loading`, `readiness`: the thread that uses the engine, the one that loads it, and what /readyz shows.
- `metrics`: every Prometheus series of this process.

Importing it imports no torch; `engines` loads the engine once the volume is known to be complete.
"""
