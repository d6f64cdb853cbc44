"""Whether a judgement or an approval still counts: who approved what, and whether tool and policy are the same."""
