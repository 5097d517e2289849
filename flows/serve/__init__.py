"""Serves lists over HTTP, beside the job.

One process speaks HTTP to the site and Kafka to the job. Several can run side by side: they share nothing.

```
site  ── GET /v1/users/{user}/list ──→ look-up ←─ store ←─ output topic ←─ job
      ── POST /v1/events ──→ intake ──→ input topic ──→ job
      ── GET /v1/users/{user}/list?fresh=true ──→ request on the input topic … its answer on the output topic
person ─ GET / ──→ live page ←─ both topics, rejects, and the job's /metrics
```

- `lists`, `selection`: what a message of the output topic holds; which list a user gets.
- `store`, `sqlite_store`, `redis_store`: where the lists are kept.
- `lists_reader`: reads the output topic into the store and wakes those who wait for a list.
- `intake`, `fresh`: events and requests on their way to the input topic.
- `access`, `limits`: who may ask, and how much.
- `endpoints`, `openapi`, `app`, `server`: HTTP.
"""
