// The live view of one run: how far it is, its numbers, curves, film strip, verdicts, layers and
// log. Fed by the server's event stream (lab/api/run_feed.py); buttons are Streamlit's.

import { Announcer } from "./announce.js"
import { Curves } from "./curves.js"
import { element, icon, loadOnce, mounted, write } from "./dom.js"
import { FilmStrip } from "./film_strip.js"
import { Layers } from "./layers.js"
import { watch } from "./stream.js"
import { Verdicts } from "./verdicts.js"

const TILE = 122 // pixels that a tile needs, with its gap; as wide as three on a phone
const LEVELS = { error: "live-failed", warning: "live-warned" }

class RunView {
  constructor(root) {
    this.root = root
    root.classList.add("live-run")
    this.badge = element("span", { class: "live-badge" })
    this.progressText = element("span", { class: "live-progress-text" })
    this.notice = element("span", { class: "live-notice", role: "status" })
    this.bar = element("div", { class: "live-bar", role: "progressbar", "aria-valuemin": "0" })
    this.bar.setAttribute("aria-valuemax", "100")
    this.bar.setAttribute("aria-label", "Progress of the run")
    this.fill = element("div", {})
    this.bar.append(this.fill)
    this.ahead = element("div", { class: "live-ahead", hidden: true })
    this.tiles = element("dl", { class: "live-tiles" })
    this.widths = new ResizeObserver(() => this.balance())
    this.widths.observe(this.tiles)
    this.message = element("div", { class: "live-message", hidden: true })
    this.curvesBox = element("div", { class: "live-curves" })
    this.filmBox = element("section", { class: "live-film-box" })
    this.verdictBox = element("section", { class: "live-verdict-box" })
    this.layersBox = element("details", { class: "live-details" })
    this.logLines = element("ul", {})
    this.warning = element("div", { class: "live-warned", role: "status", hidden: true })
    this.logBox = element(
      "details",
      { class: "live-details", hidden: true },
      element("summary", {}, icon("receipt_long"), "What the lab decided, and why"),
      this.logLines,
    )
    this.announcer = new Announcer()
  }

  async receive({ data, setTriggerValue }) {
    this.trigger = setTriggerValue
    if (!this.styled) {
      this.styled = loadOnce("link", "live.css").catch(console.error)
      await this.styled
    }
    this.data = data
    this.build()
    this.curves.say(data.empty)
    if (data.run === this.run) {
      this.curves.follow()
      this.layers.follow()
      if (this.last) this.drawState(this.last)
      return
    }
    this.run = data.run
    uncover()
    this.last = null
    this.stop?.()
    this.seen = 0
    this.status = null
    this.curves?.clear()
    this.film?.clear()
    this.verdicts?.clear()
    this.logLines.replaceChildren()
    this.warnings = 0
    this.warning.hidden = true
    this.stop = watch(`run:${data.run}`, {
      message: (message) => this.take(message),
      state: (connected) => this.connection(connected),
    })
    setTimeout(() => this.curves.prepare(data.metrics)) // the stream opens first
  }

  build() {
    const { data } = this
    if (this.curves) return
    this.root.replaceChildren(
      element(
        "div",
        { class: "live-status" },
        this.badge,
        this.progressText,
        this.notice,
        this.announcer.button,
      ),
      this.bar,
      this.ahead,
      this.message,
      this.warning,
      this.tiles,
      this.curvesBox,
      element(
        "div",
        { class: "live-beside" },
        this.filmBox,
        element("div", { class: "live-side" }, this.verdictBox, this.layersBox),
      ),
      this.logBox,
    )
    this.curves = new Curves(this.curvesBox)
    this.film = new FilmStrip(this.filmBox)
    this.verdicts = new Verdicts(this.verdictBox, (pressed) => this.trigger("act", pressed))
    this.layers = new Layers(this.layersBox)
  }

  take(message) {
    if (message.gone) {
      this.stop?.()
      return this.trigger("change", "gone")
    }
    const { run } = message
    this.last = message
    this.drawState(message)
    this.curves.take(message)
    if (message.film) this.film.take(message.film, run, this.data.look)
    else this.film.wait(run)
    if (message.judgement) this.verdicts.take(message.judgement, run)
    if (message.layers !== undefined) this.layers.take(message.layers, run)
    this.drawLog(message.log ?? [])
    if (this.status === null) {
      // What the page was drawn for may be older than what the stream says.
      if (run.status !== this.data.status) this.trigger("change", run.status)
    } else if (run.status !== this.status) this.trigger("change", run.status)
    this.status = run.status
  }

  drawState({ run, progress, tiles, ahead, place, starts }) {
    this.announcer.follow(run)
    const { title, icon: name, colour } = this.data.statuses[run.status]
    const look = `${run.status} ${title}`
    if (this.badge.dataset.look !== look) {
      this.badge.dataset.look = look
      this.badge.className = `live-badge live-${colour}`
      this.badge.replaceChildren(icon(name), title)
    }
    this.bar.hidden = !progress
    write(this.progressText, progress?.text ?? "")
    const share = Math.round((progress?.share ?? 0) * 1000) / 10
    this.fill.style.width = `${share}%`
    this.bar.setAttribute("aria-valuenow", String(Math.round(share)))
    this.bar.setAttribute("aria-valuetext", progress?.text ?? "")
    this.drawAhead(ahead ?? [], place ?? 0, starts)
    this.message.hidden = !run.message
    this.message.className = `live-message ${run.status === "failed" ? "live-failed" : ""}`
    // The page's words for it, where it has them: titles in place of the names of settings.
    const { message } = this.data
    write(this.message, message && run.status === this.data.status ? message : run.message ?? "")
    this.drawTiles(run.step || run.status === "running" ? tiles : [])
  }

  drawTiles(tiles) {
    const labels = JSON.stringify(tiles.map(({ label, help }) => [label, help]))
    if (labels !== this.labels) {
      this.labels = labels
      this.values = tiles.map(() => element("dd", {}))
      this.tiles.replaceChildren(
        ...tiles.map(({ label, help }, i) =>
          element("div", { title: help || null }, element("dt", {}, label), this.values[i]),
        ),
      )
      this.balance()
    }
    tiles.forEach(({ value }, i) => write(this.values[i], value))
  }

  /** As many tiles in each row as in the others, so that none wraps alone. */
  balance() {
    const count = this.tiles.children.length
    const fit = Math.max(1, Math.floor(this.tiles.clientWidth / TILE))
    let columns = Math.ceil(count / Math.ceil(count / fit))
    if (columns > 2 && count % columns === 1) columns -= 1
    this.tiles.style.gridTemplateColumns = count ? `repeat(${columns}, minmax(0, 1fr))` : ""
  }

  drawAhead(runs, place, starts) {
    this.ahead.hidden = !place
    const names = JSON.stringify([runs, place, starts])
    if (names === this.aheadNames) return
    this.aheadNames = names
    const words = `Place ${place} in line${starts ? `, starts in ${starts}` : ""}.`
    const links = runs.flatMap(({ id, name }, i) => [
      i ? ", " : "",
      element("button", { type: "button", onclick: () => this.trigger("act", { open: id }) }, name),
    ])
    this.ahead.replaceChildren(`${words}${links.length ? " Before it: " : ""}`, ...links)
  }

  drawLog(lines) {
    for (const { seq, level, text } of lines) {
      if (seq <= this.seen) continue
      this.seen = seq
      this.logLines.append(element("li", { class: LEVELS[level] ?? null }, text))
      if (level !== "warning") continue
      this.warnings += 1
      const more = this.warnings > 1 ? ` (and ${this.warnings - 1} before it)` : ""
      write(this.warning, `${text}${more}`) // seen without opening the log
      this.warning.hidden = false
    }
    this.logBox.hidden = !this.logLines.children.length
  }

  connection(connected) {
    clearTimeout(this.lost)
    if (connected) write(this.notice, "")
    else {
      this.lost = setTimeout(() => {
        write(this.notice, "No connection to the lab; trying again. The run goes on meanwhile.")
      }, 1500)
    }
  }

  destroy() {
    clearTimeout(this.lost)
    this.stop?.()
    this.widths.disconnect()
    this.announcer.destroy()
    this.curves?.destroy()
    this.film?.destroy()
    this.layers?.destroy()
  }
}

/** On a phone the side panel covers the page, and Streamlit keeps it open: it makes way for a run. */
function uncover() {
  if (!matchMedia("(max-width: 768px)").matches) return
  const open = document.querySelector('[data-testid="stSidebar"][data-collapsed="false"]')
  open?.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click()
}

export const render = mounted(RunView)
