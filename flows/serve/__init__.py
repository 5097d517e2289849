"""HTTP server for lists and events, beside the job.

One process speaks HTTP to the site and Kafka to the job. Several can run side by side: they share nothing.

```
site  ── GET /v1/users/{user}/list ──→ look-up ←─ store ←─ output topic ←─ job
      ── POST /v1/events ──→ intake ──→ input topic ──→ job
      ── GET /v1/users/{user}/list?fresh=true ──→ request on the input topic … its answer on the output topic
person ─ GET / ──→ live page ←─ both topics, rejects, and the job's /metrics
```

- `lists`, `selection`: messages of the output topic, and the choice of a user's list.
- `store`, `sqlite_store`, `redis_store`: stores of the lists.
- `lists_reader`: reads the output topic into the store, and wakes requests that wait for a list.
- `intake`, `fresh`: write events and requests to the input topic.
- `access`, `limits`: tokens, roles, and rate limits.
- `endpoints`, `openapi`, `app`, `server`: HTTP.
"""
