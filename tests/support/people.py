"""A gateway whose reviewers have names, and calls that wait in it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from gateway_process import WAIT_SECONDS, GatewayProcess, call, reference_in
from nursery import ROOT

ANNA, BRUNO = "anna-key-of-the-tests", "bruno-key-of-the-tests"
FREE_FIELDS = ROOT / "tests" / "acceptance" / "gateway_with_free_fields.py"


def named_gateway(directory: Path, **environment: str) -> GatewayProcess:
    """A gateway with two reviewers, whose tool modify_welfare_record takes any text."""
    keys = {"ATLAS_REVIEWER_KEY": f"anna:{ANNA},bruno:{BRUNO}"}
    return GatewayProcess(directory, FREE_FIELDS, **(keys | environment))


def client(gateway: GatewayProcess, key: str | None = ANNA) -> httpx.AsyncClient:
    """What a reviewer's program asks with."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=WAIT_SECONDS)


async def waiting(gateway: GatewayProcess, number: int = 1, **changes: Any) -> list[str]:
    """The references of new calls that wait for a person."""
    async with gateway.agent() as agent:
        made = [
            await call(
                agent, "modify_welfare_record", beneficiary_id="BEN-123", changes={"n": index} | changes
            )
            for index in range(number)
        ]
    return [reference_in(one) for one in made]


async def at_once(*requests: Any) -> list[Any]:
    """The answers to requests that are made in the same instant."""
    return list(await asyncio.gather(*requests))
