"""The cards of signing in and out: one heading, one field, one button. No script."""

from __future__ import annotations

from html import escape

from lab.runs.members import LONGEST_NAME

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the cards."""

_STYLE = """
:root { color-scheme: light dark; --accent: light-dark(#1769aa, #2a7abb);
  --ground: light-dark(#f3f6f9, #0f1419); --card: light-dark(#fff, #1a222b);
  --text: light-dark(#0b141d, #e4e9ef); --soft: light-dark(#51606d, #a3b0bc);
  --line: light-dark(#c3ced8, #46535f); --bad: light-dark(#a3261b, #ff9d8f) }
* { box-sizing: border-box }
body { margin: 0; min-height: 100svh; display: grid; place-items: center; padding: 1.25rem;
  background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 24rem; padding: 2.25rem 2rem 2rem; border-radius: 1rem;
  background: var(--card); box-shadow: 0 1px 2px #0002, 0 12px 40px #0000001f }
svg { display: block; width: 2.75rem; height: 2.75rem; margin-bottom: 1rem }
h1 { margin: 0 0 .25rem; font-size: 1.5rem; line-height: 1.25; letter-spacing: -.01em }
p { margin: 0; color: var(--soft); overflow-wrap: anywhere }
p[role=alert] { margin-top: 1rem; color: var(--bad) }
label { display: block; margin: 1.5rem 0 .4rem; font-weight: 600 }
input { width: 100%; padding: .7rem .85rem; border: 1px solid var(--line); border-radius: .6rem;
  background: transparent; color: inherit; font: inherit }
input.code { letter-spacing: .15em; text-transform: uppercase }
:is(input, button, a.button):focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
button, a.button { display: block; width: 100%; margin-top: 1.25rem; padding: .75rem; border: 0;
  border-radius: .6rem; background: var(--accent); color: #fff; font: inherit; font-weight: 600;
  text-align: center; text-decoration: none; cursor: pointer }
p.or { margin-top: 1.75rem }
button:hover, a.button:hover { filter: brightness(1.08) }
"""

_MARK = """<svg viewBox="0 0 32 32" fill="none" stroke-width="3" stroke-linecap="round"
aria-hidden="true"><rect width="32" height="32" rx="7" fill="#1769aa"/><path stroke="#fff"
d="M6 8c3 11 6 15 20 16"/><path stroke="#9cc9ee" stroke-dasharray="4 4" d="M6 24C12 14 17 10 26 9"/>
</svg>"""
"""As `lab/ui/icon.svg`."""


def code_card(problem: str = "", *, then: str = "") -> str:
    """Returns the page that asks for the class code."""
    return _form(
        "Epochlab",
        "Type the code that your teacher shows.",
        problem,
        '<label for="code">Class code</label><input class="code" id="code" name="code" required '
        'autofocus autocomplete="off" autocapitalize="characters" spellcheck="false" '
        'maxlength="20">',
        "Continue",
        then=then,
    )


def name_card(
    code: str, problem: str = "", *, name: str = "", then: str = "", known_as: str = ""
) -> str:
    """Returns the page that asks for a name; `known_as` is who has signed in here already."""
    go_on, focus = "", "autofocus "
    if known_as:  # relative: a proxy may serve the lab below a path
        focus = ""
        go_on = (
            f'<a class="button" href="./{escape(then.lstrip("/"))}">'
            f"Go on as <bdi>{escape(known_as)}</bdi></a>"
            '<p class="or">Somebody else? Choose a name of your own.</p>'
        )
    return _form(
        "Welcome to Epochlab",
        "" if known_as else "What should your class call you?",
        problem,
        f'<input type="hidden" name="code" value="{escape(code)}">'
        '<label for="name">Your name</label>'
        f'<input id="name" name="name" required {focus}autocomplete="nickname" dir="auto" '
        f'maxlength="{LONGEST_NAME}" value="{escape(name)}">',
        "Start",
        then=then,
        before=go_on,
    )


def button_card(title: str, words: str, label: str, *, link: str = "", post: str = "") -> str:
    """Returns a page with one button that follows `link`, or sends an empty form to `post`."""
    button = ""
    if link:
        button = f'<a class="button" href="{escape(link)}">{escape(label)}</a>'
    elif post:
        button = f"<button>{escape(label)}</button>"
        button = f'<form method="post" action="{escape(post)}">{button}</form>'
    return _card(title, f"<p>{escape(words)}</p>{button}")


def _form(
    title: str,
    words: str,
    problem: str,
    fields: str,
    label: str,
    *,
    then: str,
    before: str = "",
) -> str:
    words = f"<p>{escape(words)}</p>" if words else ""
    alert = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    return _card(
        title,
        f'{words}{alert}{before}<form method="post" action="sign-in">{fields}'
        f'<input type="hidden" name="next" value="{escape(then)}">'
        f"<button>{escape(label)}</button></form>",
    )


def _card(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Epochlab: sign in</title><style>{_STYLE}</style></head>"
        f"<body><main>{_MARK}<h1>{escape(title)}</h1>{body}</main></body></html>"
    )
