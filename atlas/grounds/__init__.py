"""Whether a judgement still holds: what was approved, by whom, and whether tool and policy are the same."""
