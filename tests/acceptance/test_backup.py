"""What a copy of the data directory is worth."""

from gateway_process import GatewayProcess, call, outcome, reference_in, text_of


async def test_a_case_whose_run_the_engine_has_lost_is_started_again_when_it_is_decided(
    gateway: GatewayProcess,
) -> None:
    """The case store is what counts: without the engine's files the approved call still runs, once."""
    async with gateway.agent() as agent:
        case_id = reference_in(
            await call(agent, "request_payment_extension", beneficiary_id="BEN-123", reason="hospital stay")
        )
    await gateway.kill()
    lost = list(gateway.data.glob("engine.*"))
    for path in lost:
        path.unlink()
    await gateway.start()
    assert (await gateway.decide(case_id)).status_code == 200
    async with gateway.agent() as agent:
        assert "now due on 2027-03-03" in text_of(await outcome(agent, case_id))
        status = await call(agent, "check_status", beneficiary_id="BEN-123")
    assert lost and len(status.structured_content["history"]) == 1
