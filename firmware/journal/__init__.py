"""The session journal: numbered records on flash that survive any power cut and wait for the cloud.

What is promised, and how bytes lie on flash, stands in docs/journal.md.
"""
