"""A small Inngest server over SQLite, so that durable runs work where no Inngest is configured.

It speaks Inngest's wire protocol to the unchanged SDK and knows nothing of what the functions do. Where it
differs from Inngest's own server, it does so on purpose:

| what | here | Inngest's server |
|---|---|---|
| an app that can't be reached | called again for 30 s before it is an attempt | each call is an attempt |
| wait before a retry | 1 s, 2 s, 5 s, 15 s, 30 s, 1 m ... 20 m, up to 20 % longer | 15 s, 30 s, 1 m ... 2 h |
| batchEvents, debounce, rateLimit, throttle, singleton | refused at sync | supported |
| priority, timeouts, cron triggers | refused at sync | supported |
| concurrency | one limit per function, by key or not, scope `fn` | several, three scopes |
| Connect, realtime, signals, `step.ai` | a run that uses them fails with a sentence | supported |
| answers of an app when keys are set | must be signed, else lost; streamed ones never are | not checked |
| NaN, lone surrogates | refused: they have no canonical form to sign | replaced |
| more than 200 levels of JSON | refused | taken, up to 10,000 |
| one malformed event among others | none of them is taken | those before it are |
| an event over 512 KiB | refused | refused, if self-hosted from 3 MiB on |
| an empty request | refused | taken, with no effect |
| a send that is repeated | its events are kept once | kept twice, and run once |
| a step that can't be carried out | the run fails at once | retried, or fails |
| a comparison with a missing field | never matches; `!has` does | `== null`, `!=` match, `!has` never does |
| a function without triggers, or more than 20 retries | refused at sync | never runs; cut to 20 |
| many steps in one answer | one next call | several next calls; the run may fail |
| a step after a race | goes on at once | waits for the losers |
| `disable_immediate_execution` after a race | true: later steps are planned | false: two calls may run one |
| RunComplete | its data is the output | REST shows an empty output |
| `retry-after: 0` | again at once | as if it were not there |
| order of events | the order of their acknowledgement | none |
| an event without data | `{}` | null |
| errors of the server itself | as those of apps | inside `error` |
| `inngest/function.*` events | made only when a function or a wait listens | always kept |
| a sleep | ends when it is due | rounded to seconds |
| ids of functions | their names | UUIDs |
| a run before its first call | RUNNING | QUEUED |
| what REST does not find | 404 | 200 with an error of 400, 404 or 500; 410 for a run's state |
| state of a run that has ended | kept | 410 |
| DELETE of a run that has ended | 404 | 200; on PostgreSQL 404 for any |
| output of a cancelled run in REST | null | `{}` |
| GraphQL | runs, their steps and events, to read | all that its pages need |
| GraphQL where keys are set | needs the key | open to all; absent with `--no-ui` |
| a step that an answer says has failed, in GraphQL | FAILED, with its error | stays RUNNING |
| runs of a killed process | go on: every acknowledged event and step is on disk | depends on the storage |
| what has ended | forgotten after 30 days, or as said | depends on the plan |
"""

from atlas.engine.engine import Engine
from atlas.engine.errors import EngineError
from atlas.engine.keys import EngineKeys

__all__ = ["Engine", "EngineError", "EngineKeys"]
