"""The endpoints as tools of a Model Context Protocol server."""

import asyncio

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from small_models import make_text

ENDPOINTS = {"generate", "models", "snapshots", "score", "alternatives", "attention", "ablation"}
ENDPOINTS |= {"copied"}
ENDPOINTS |= {"runs", "run_status", "start_run", "stop_run"}


@pytest.fixture
def in_session(app):
    """A function that runs a conversation, a coroutine function, in a session with the server."""

    def run(conversation):
        async def main():
            url = f"{app.url}gradio_api/mcp/"
            async with (
                streamablehttp_client(url) as (read, write, _),
                ClientSession(read, write) as session,
            ):
                await session.initialize()
                return await conversation(session)

        return asyncio.run(main())

    return run


async def call(session, tool, **arguments):
    """Call a tool; returns (whether it failed, the text of the answer)."""
    answer = await session.call_tool(tool, arguments)
    return bool(answer.isError), answer.content[0].text


def test_the_tools_are_the_endpoints_and_describe_their_parameters(in_session):
    tools = in_session(lambda session: session.list_tools()).tools
    assert {tool.name for tool in tools} == ENDPOINTS
    for tool in tools:
        assert tool.description
        notes = [schema.get("description") for schema in tool.inputSchema["properties"].values()]
        assert all(notes), f"{tool.name} has a parameter without a description"
        assert len(set(notes)) == len(notes), f"{tool.name} describes two parameters alike"
        assert "Api component" not in "".join(notes)


def test_tools_do_what_the_endpoints_do(in_session):
    async def conversation(session):
        settings = {"prompt": "KING:", "model": "small-gpt", "max_new_chars": 30, "seed": 1}
        return [
            await call(session, "models"),
            await call(session, "generate", **settings),
            await call(session, "generate", **settings),
            await call(session, "score", text="the king", model="small-gpt"),
            await call(session, "run_status", run="small-gpt"),
            await call(session, "generate", prompt="KING:", max_new_chars=-1),
            await call(session, "start_run", name="../x", text=make_text()),
        ]

    models, first, second, score, status, *bad = in_session(conversation)
    assert models == (False, "['small-gpt']")
    assert first == second
    assert (first[0], first[1][:5], len(first[1])) == (False, "KING:", 35)
    assert not score[0] and "bits_per_char" in score[1]
    assert not status[0] and "'state': 'finished'" in status[1]
    assert bad[0] == (True, "max_new_chars is -1; it must be a whole number from 1 to 5,000")
    assert bad[1][0] and "cannot be a run's name" in bad[1][1]
