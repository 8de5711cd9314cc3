"""What moves by itself: components in the browser that are fed by the server's event stream.

    lab.api.hub ── /api/events ──> js/stream.js ──> js/run_view.js, js/panel.js ... on a page

Python draws what a person changes; a page's script does not run while somebody only watches.
"""
