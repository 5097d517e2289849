"""The live page: rates of events and lists, hit rates, and users' lists.

Where its numbers come from:

- Rates, rejects, histories, titles, and the hit rates of the held list and of the fallback list come from the topics.
  They are right for any number of jobs, and need nothing of a job but its topics.
- Lag, the time of a list, the fresh hit rate, weights and drift are known to the job alone. They come from its
  `/metrics`.
"""
