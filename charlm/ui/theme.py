"""The page's theme, light and dark: Gradio's variables, the style sheet, the fonts. All local."""

import re
from pathlib import Path

import gradio as gr

from charlm.ui.static_files import font_address

HERE = Path(__file__).parent
# what a browser does not need of a script, and of a style sheet: a fifth of the bytes sent
SCRIPT_COMMENT = re.compile(r"^\s*//.*\n|^\s+", re.MULTILINE)
STYLE_COMMENT, STYLE_SPACE = re.compile(r"/\*.*?\*/|\n\s*", re.DOTALL), re.compile(r" *([{};]) *")
SCRIPTS = ("page.js", "text_letters.js", "letters.js", "address.js", "branches.js", "inside.js")
SCRIPTS += ("snapshots.js", "copied.js", "compare.js")
SHEETS = ("theme.css", "inside.css", "snapshots.css", "copied.css", "compare.css", "guess.css")
SERIF = ("EB Garamond", "Iowan Old Style", "Palatino", "Georgia", "serif")
TEXT = ("#2a1c10", "#efdfc1")  # (light, dark), like all pairs below
BACKGROUND = ("#f5ecd7", "#15100c")
ACCENT = ("#8f1d14", "#e8a552")
MUTED = ("#6b5640", "#b39d7b")
BORDER = ("#cdb88f", "#4b3a28")
FIELD_BORDER = ("#96794a", "#94785a")  # at least 3:1 against the page and the field
HOVER = ("#ead9b4", "#35281b")
TEXT_ON_FILL = ("#fdf6e6", "#21150a")
TRANSPARENT = ("transparent", "transparent")
COLOURS = {  # by Gradio's names
    "body_background_fill": BACKGROUND,
    "body_text_color": TEXT,
    "body_text_color_subdued": MUTED,
    "background_fill_primary": BACKGROUND,
    "background_fill_secondary": ("#efe3c8", "#221a13"),
    "border_color_primary": BORDER,
    "border_color_accent": ACCENT,
    "color_accent_soft": HOVER,
    "block_background_fill": TRANSPARENT,
    "block_label_background_fill": TRANSPARENT,
    "block_label_text_color": MUTED,
    "block_title_text_color": MUTED,
    "block_info_text_color": MUTED,
    "panel_background_fill": TRANSPARENT,
    "input_background_fill": ("#fbf6e9", "#1f1711"),
    "input_border_color": FIELD_BORDER,
    "input_border_color_focus": ACCENT,
    "input_placeholder_color": ("#7a6548", "#9a845f"),
    "button_primary_background_fill": ACCENT,
    "button_primary_background_fill_hover": ("#a8281d", "#f4ba6e"),
    "button_primary_text_color": TEXT_ON_FILL,
    "button_secondary_background_fill": TRANSPARENT,
    "button_secondary_background_fill_hover": HOVER,
    "button_secondary_text_color": TEXT,
    "button_secondary_border_color": FIELD_BORDER,
    "button_cancel_background_fill": TEXT,
    "button_cancel_background_fill_hover": ("#4a3522", "#fff2d8"),
    "button_cancel_text_color": TEXT_ON_FILL,
    "slider_color": ACCENT,
    "checkbox_label_background_fill": TRANSPARENT,
    "checkbox_label_background_fill_selected": TEXT,
    "checkbox_label_text_color": TEXT,
    "checkbox_label_text_color_selected": TEXT_ON_FILL,
    "checkbox_label_border_color": FIELD_BORDER,
    "link_text_color": ACCENT,
}
SHAPES = {
    "block_border_width": "0px",
    "block_shadow": "none",
    "block_padding": "0px",
    "input_border_width": "1px",
    "button_border_width": "0px",  # else as that of fields
    "input_radius": "2px",
    "button_large_radius": "2px",
    "button_small_radius": "999px",
    "checkbox_label_shadow": "none",
}


def theme_arguments():
    """Return the arguments of `Blocks.launch` that style the page."""
    scripts = "\n".join(read_script(name) for name in SCRIPTS)
    return {
        "theme": theme(),
        "css": style_sheet(),
        "head": f"<script>{scripts}</script>" + accessibility(),
    }


def accessibility():
    """Return what Gradio's markup lacks; its `css` would not reach its footer and messages."""
    style, script = read_style("accessibility.css"), read_script("accessibility.js")
    return f"<style>{style}</style><script>{script}</script>"


def read(file):
    return (HERE / file).read_text(encoding="utf-8")


def read_script(file):
    """Return a script without indentation and lines that are comments."""
    return SCRIPT_COMMENT.sub("", read(file))


def read_style(file):
    """Return a style sheet without comments, line breaks and spaces between its rules."""
    return STYLE_SPACE.sub(r"\1", STYLE_COMMENT.sub(" ", read(file)))


def theme():
    """Return Gradio's base theme in our colours; theme.css has the other styles."""
    light = {name: colour for name, (colour, _) in COLOURS.items()}
    dark = {f"{name}_dark": colour for name, (_, colour) in COLOURS.items()}
    base = gr.themes.Base(neutral_hue="stone", font=SERIF, font_mono=SERIF, text_size="lg")
    return base.set(**light, **dark, **SHAPES)


def style_sheet(sheets=SHEETS):
    """Return the page's style sheet, or some parts of it, with its fonts."""
    return font_faces() + "".join(map(read_style, sheets))


def font_faces():
    """Return the CSS of EB Garamond; `block`, because a font that is replaced moves the text."""
    return "".join(
        f'@font-face {{ font-family: "EB Garamond"; font-style: {style}; font-weight: {weights};'
        f" font-display: block; src: url({font_address(style)}) format('woff2'); }}\n"
        for style, weights in (("normal", "400 700"), ("italic", "400"))
    )
