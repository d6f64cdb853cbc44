"""Whether a judgement still holds: who approved what, and whether tool and policy are the same."""
