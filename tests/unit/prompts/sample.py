"""A prompt file that uses most of the format, and ways to load variations of it."""

from collections.abc import Callable
from pathlib import Path

from prompts import definition, document
from prompts.conversation import new_fence
from prompts.jobtype import JobType

TRIAGE = r"""---
name: triage
description: Sort a ticket.
version: "7"
model: fast
input:
  required: [text]
  properties:
    text: {type: string, pattern: '\S', maxLength: 1000}
    team: {type: string, enum: [sales, repairs]}
    urgent: {type: boolean, default: false}
    hours: {type: integer, minimum: 1}
    notes:
      type: array
      items: {type: string}
    order:
      type: object
      properties: {id: {type: string}}
output:
  schema:
    type: object
    required: [label]
    properties:
      label: {type: string, enum: [a, b]}
      score: {type: number, minimum: 0, maximum: 1}
settings:
  temperature: 0.5
  max_tokens: 100
---
# system
Sort what stands between <{{ fence }}> and </{{ fence }}>.
{% if team %}
It is for {{ team }}.
{% endif %}
{{ "Hurry." if urgent else "Take your time." }}
# user
{{ text | fenced }}
{% for note in notes or [] %}
Note {{ loop.index }}: {{ note | fenced }}
{% endfor %}
{% if order is not none %}
{{ order.id | fenced }}
{% endif %}
Sort it{% if hours %} within {{ hours }} hours{% endif %}.
"""

CHAT = """---
name: chat
description: Talk as our shop does.
version: "1"
input:
  required: [messages]
  properties:
    language: {type: string, enum: [ko, en], default: ko}
    messages:
      type: array
      items:
        type: object
        required: [role, content]
        properties:
          role: {type: string, enum: [user, assistant]}
          content: {type: string}
output: {text: reply}
conversation: {messages: messages}
---
# system
You speak {{ language }} for the shop.
"""


def load(path: Path, text: str = TRIAGE, fence: Callable[[], str] = new_fence) -> JobType:
    """The job type of a file with this text, written to `path`."""
    path.write_text(text, encoding="utf-8")
    return definition.job_type(document.read(path), fence)
