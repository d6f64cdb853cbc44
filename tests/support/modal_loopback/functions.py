"""Functions to register by name on the command line."""

from typing import Any


def answer(risk_score: int) -> dict[str, Any]:
    """What a function of the right shape answers."""
    return {
        "risk_score": risk_score,
        "classification": "limited risk",
        "action": "review" if risk_score >= 70 else "proceed",
        "rationale": "Answered by a function of the tests.",
        "model": "loopback",
        "version": "1",
    }


def low(payload: dict[str, Any]) -> dict[str, Any]:
    return answer(12)


def high(payload: dict[str, Any]) -> dict[str, Any]:
    return answer(91)


def failing(payload: dict[str, Any]) -> dict[str, Any]:
    raise ValueError("the model exploded")
