"""The page's load events: they show what the address names, and restore the visitor's input."""

import asyncio
import json
from dataclasses import replace

import gradio as gr

from charlm.errors import CharlmError, quote
from charlm.models.snapshots import split_step
from charlm.serving.clients import client_of
from charlm.serving.parameters import (
    MAX_INT,
    MAX_NAME_CHARS,
    MAX_PROMPT_CHARS,
    Integer,
    Text,
    page_parameters,
)
from charlm.ui.compare_request import COMPARE, comparison_in
from charlm.ui.events import QUIET, SLOW, until_done
from charlm.ui.first_paint import TABS
from charlm.ui.inside_html import PANELS
from charlm.ui.link import SETTINGS, link_from_query
from charlm.ui.page import OneOf
from charlm.ui.page_parts import checked_query, part_parameters
from charlm.ui.play_html import fetching, model_summary_html, notices_html
from charlm.ui.shown_text import MAX_TEXT_CHARS, link_request
from charlm.ui.snapshots import MAX_PROMPT as MAX_SNAPSHOT_PROMPT

MAX_FIELDS_CHARS = 100_000  # of JSON: a prompt, each character escaped, and settings
FIELDS_JS = "(...values) => window.charlm.savedFields()"
SAVE_JS = "(...values) => window.charlm.saveFields(values)"


def connect_tabs_load(page, tabs, monitor, run, inside):
    """Connect the event that opens the tab of the address, with what it shows.

    `run`: the choice of the run shown, of those of `monitor`. `inside`: an InsideView.
    """

    def open_tab(request: gr.Request):
        values, _ = tabs_query(request.query_params, monitor.statuses())
        fields = (values.get(name) for name in ("run", "panel", "text"))
        chosen = values.get("embed") or values.get("tab")
        tab = gr.Tabs(selected=chosen) if chosen else gr.skip()
        return tab, *(gr.skip() if value is None else gr.update(value=value) for value in fields)

    page.load(open_tab, None, [tabs, run, inside.panel_choice, inside.typed], **QUIET)


def connect_page_load(page, library, default, controls, requests, monitor, address_notice):
    """Connect the event that shows the text of the address, and restores the visitor's input.

    `default`: the model chosen when the page was built. `monitor`: knows the runs.
    """
    fields = [controls.prompt, *controls.settings, controls.model]
    saved = gr.Textbox(visible="hidden", max_length=MAX_FIELDS_CHARS)
    has_link = gr.State(False)
    outputs = {
        "notices": controls.hub_notice,
        "problems": address_notice,
        "model": controls.model,
        "summary": controls.model_summary,
        **dict(zip(("prompt", *SETTINGS), fields, strict=False)),
        "mode": controls.mode,
        "request": requests.request,
        "has_link": has_link,
    }

    async def load(request: gr.Request, typed):
        query = request.query_params
        _, problems = tabs_query(query, monitor.statuses())
        client = client_of(request)
        async for updates in page_updates(library, client, query, typed, default, problems):
            yield [updates.get(name, gr.skip()) for name in outputs]

    loaded = page.load(load, saved, [*outputs.values()], js=FIELDS_JS, **SLOW)
    loaded.then(**requests.event(prepared=has_link))
    loaded.then(None, None, None, js="() => window.charlm.openInside()", **QUIET)
    gr.on([field.change for field in fields], None, fields, None, js=SAVE_JS, **QUIET)


async def page_updates(library, client, query, typed, default, problems):
    """Yield updates of the page, by the names in `connect_page_load`, that its address asks for.

    `typed`: see typed_fields. `problems`: sentences on the address, to report with others.
    """
    pools = library.pools
    current = await pools.loading.run(client, library.default)
    link, comparison, others = linked_texts(query, current, library.limits)
    problems = [*problems, *others]
    *values, model = typed_fields(typed, library.limits) or [None]
    model = comparison.link.model if comparison else model
    model = model if library.has(model) else None
    updates = first_updates(values, link, comparison)

    async def choose(name, **value):
        """Choose a model; with a `value`, the visitor's choice changes."""
        names, summary = await pools.loading.run(client, names_and_summary, library, name)
        return {"model": gr.update(choices=names, **value), "summary": summary}

    async def with_notices(notice="", announcement=None):
        notices = [*await pools.loading.run(client, library.notices), notice]
        shown = {"notices": notices_html(notices, announcement), "problems": notices_html(problems)}
        return updates | shown

    first = model or current
    updates |= await choose(first, **({"value": first} if first != default else {}))
    yield await with_notices()
    if comparison or not link:
        return
    try:
        async for name, notice in linked_model(library, client, link):
            if not name:
                yield await with_notices(notice, f"Fetching {link.model}")
    except CharlmError as error:
        problems.append(f"In this address, {error}.")
    else:
        updates |= await choose(model or name, value=model or name)
        updates |= {"request": link_request(replace(link, model=name)), "has_link": True}
        problems.append(notice)
    yield await with_notices()


def linked_texts(query, default, limits):
    """Return (Link, ComparisonRequest, problems) of an address: see `link_from_query`."""
    link, problems = link_from_query(query, default, limits)
    comparison, others = comparison_in(query, default, limits)
    return link, comparison, [*dict.fromkeys([*problems, *others])]


def first_updates(values, link, comparison):
    """Return updates of the fields, by the names in `connect_page_load`, and of the comparison.

    `values`: of the fields when the visitor left the page; else they are those of the Link.
    """
    values = values or (link and [link.prompt, *link.settings]) or ()
    updates = dict(zip(("prompt", *SETTINGS), values, strict=False)) | {"has_link": False}
    if comparison:
        updates |= {"mode": COMPARE, "request": comparison.json(), "has_link": True}
    return updates


async def linked_model(library, client, link):
    """Yield ("", progress) while a Link's model is fetched, then what find_linked_model returns."""
    known, pools = library.has(link.model), library.pools
    pool = pools.loading if known else pools.fetching
    finding = asyncio.ensure_future(pool.run(client, find_linked_model, library, link))
    async for _ in until_done(finding):
        if not known:
            yield "", fetching(link.model, library.followers)
    yield finding.result()


def typed_fields(text, limits):
    """Return the values that the fields had when the visitor left the page, or None.

    `text`: their JSON, from the browser: the prompt, the settings, and the model.
    """
    checks = {"prompt": Text("", MAX_PROMPT_CHARS), **page_parameters(limits)}
    checks["model"] = Text(None, MAX_NAME_CHARS)
    try:
        values = zip(checks.items(), json.loads(text or "[]"), strict=True)
        return [check.check(name, value) for (name, check), value in values]
    except (CharlmError, ValueError, TypeError, RecursionError):
        return None


def names_and_summary(library, name):
    """Return the names of all models, and the summary of one as HTML."""
    return library.names(name), model_summary_html(library, name)


def tabs_query(query, runs):
    """Return (values, problems): what an address says of the tabs, by the names of its parameters.

    `runs`: names. `problems`: sentences on values that are not allowed, which are left out.
    """
    checks = {"tab": OneOf(tuple(TABS)), "run": Text("", MAX_NAME_CHARS)}
    checks |= {"panel": OneOf(tuple(PANELS)), "text": Text("", MAX_TEXT_CHARS)}
    checks |= {"step": Integer(0, 0, MAX_INT), "snapshot_prompt": Text("", MAX_SNAPSHOT_PROMPT)}
    checks |= {"snapshot_seed": Integer(0, 0, MAX_INT)}
    values, problems = checked_query(query, checks | part_parameters(TABS))
    if values.get("run") not in (None, *runs):
        run = values.pop("run")
        problems.append(f"In this address, run is {quote(run)}; there is no such run here.")
    return values, problems


def find_linked_model(library, link):
    """Return (name, notice) of a Link's model, fetched first if it is on the Hub.

    The notice says so if the model's weights have changed since the link was made; else it is "".
    Raises CharlmError.
    """
    known, on_hub = library.has(link.model), "/" in link.model
    if known and link.revision in ("", library.revision(link.model)):
        return link.model, ""
    if known and not on_hub:
        notice = f"this link is from when {link.model} had other weights: the text differs"
        return link.model, notice
    if not on_hub:
        library.path(link.model)  # raises an error that lists the models
    run, step = split_step(link.model)
    repo = run.partition("@")[0]
    name = library.add(f"{repo}@{link.revision}" if link.revision else run)
    return name if step is None else f"{name}#{step}", ""
