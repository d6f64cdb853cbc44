"""Whether a judgement or an approval holds: who approved what, and whether tool and policy are the same."""
