"""The page's load events: open the tab, the model and the link that the address names."""

import gradio as gr

from charlm.errors import CharlmError
from charlm.serving.clients import client_of
from charlm.ui.events import QUIET, SLOW
from charlm.ui.link import link_from_query
from charlm.ui.play_html import hub_notice_html, model_summary_html


def connect_page_load(page, library, default, controls, requests, tabs):
    """Connect the load events of `page`; `default`: the model chosen when it was built."""
    filled_in = [controls.model, controls.model_summary, controls.prompt, *controls.settings]
    has_link = gr.State(False)
    outputs = [controls.hub_notice, *filled_in, has_link]

    async def load(request: gr.Request):
        updates = dict.fromkeys(outputs, gr.skip()) | {has_link: False}
        client, pools = client_of(request), library.pools

        async def with_notice(*notices):
            notices = [*await pools.loading.run(client, library.notices), *notices]
            return [*(updates | {controls.hub_notice: hub_notice_html(notices)}).values()]

        async def choose(name, **value):
            names, summary = await pools.loading.run(client, names_and_summary, library, name)
            updates[controls.model] = gr.update(choices=names, **value)
            updates[controls.model_summary] = summary

        current = await pools.loading.run(client, library.default)
        await choose(current, **({"value": current} if current != default else {}))
        yield await with_notice()
        try:
            link = link_from_query(request.query_params, current, library.limits)
            if not link:
                return
            updates[controls.prompt] = link.prompt
            updates.update(zip(controls.settings, link.settings, strict=True))
            pool = pools.loading if link.model in library.names() else pools.fetching
            yield await with_notice(f"Fetching {link.model} …" if pool is pools.fetching else "")
            name, notice = await pool.run(client, find_linked_model, library, link)
        except CharlmError as error:
            yield await with_notice(str(error))
            return
        await choose(name, value=name)
        updates[has_link] = True
        yield await with_notice(notice)

    page.load(select_tab, None, tabs, **QUIET)
    page.load(load, None, outputs, **SLOW).then(**requests.event(has_link))


def names_and_summary(library, name):
    """Return the names of all models, and the summary of one as HTML."""
    return library.names(), model_summary_html(library, name)


def select_tab(request: gr.Request):
    """Return an update that selects the tab named by the address, as after a reload."""
    return gr.Tabs(selected="watch") if request.query_params.get("tab") == "watch" else gr.skip()


def find_linked_model(library, link):
    """Return (name, notice) of a Link's model, fetched first if it is on the Hub.

    The notice says so if the model's weights have changed since the link was made; else it is "".
    Raises CharlmError.
    """
    known, on_hub = link.model in library.names(), "/" in link.model
    if known and link.revision in ("", library.revision(link.model)):
        return link.model, ""
    if known and not on_hub:
        notice = f"this link is from when {link.model} had other weights: the text differs"
        return link.model, notice
    if not on_hub:
        library.path(link.model)  # raises an error that lists the models
    repo = link.model.partition("@")[0]
    return library.add(f"{repo}@{link.revision}" if link.revision else link.model), ""
