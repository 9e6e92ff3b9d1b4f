"""The HTTP server: MultiTalk behind the Videos API that OpenAI's clients already speak.

From the edge inwards, one noun a module:

- `cli`, `config`: flags and environment into one frozen `ServerConfig`.
- `volume`: the receipts of the model volume, checked before anything else happens.
- `lifecycle`: the process: socket, signals, loading, draining, exit code.
- `service`: the parts of one server, put together.
- `connections`, `access`, `hosts`: whose requests are taken, and how slow they may be.
- `app`, `videos`, `operations`, `errors`, `wire`: HTTP in and out.
- `multipart`, `draft`, `prober`: a request body made into a `GenerationRequest`, or refused with a reason.
- `jobs`, `board`, `retention`, `scratch`: what was asked, what became of it, for how long it is kept, and where.
- `worker`, `loading`: the one thread that uses the engine, and the one that loads it.
- `metrics`: every Prometheus series of this process.

Importing it imports no torch; the engine is loaded by `engines` once the volume has proved whole.
"""
