"""What is said about jobs, in French and in English: a part of turf_saas/messages.py."""

from __future__ import annotations

JOB_MESSAGES: dict[str, dict[str, str]] = {
    "job_not_found": {"fr": "Tâche introuvable.", "en": "There is no such job."},
    "job_name_invalid": {
        "fr": "`{field}` est un texte de 1 à {most} caractères.",
        "en": "`{field}` is a text of 1 to {most} characters.",
    },
    "job_payload_invalid": {
        "fr": "Ce que la tâche doit savoir s'écrit en JSON.",
        "en": "What a job needs to know is written as JSON.",
    },
    "job_not_waiting": {
        "fr": "La tâche {job} n'attend pas : elle est {state}.",
        "en": "Job {job} does not wait: it is {state}.",
    },
    "lease_lost": {
        "fr": "La tâche {job} est passée à un autre.",
        "en": "Job {job} has gone to another worker.",
    },
}
