// Gradient health: which layers learn, as a chart of layers x time that follows the run.

import { element, fetchJson, icon, write } from "./dom.js"
import { Figure } from "./figure.js"

const PAUSE = 5000 // milliseconds between two charts of a run that trains
const WIDE = 1000 // pixels of the live view from which it stands open beside the film strip
const CHARTS = {
  gradient: "Gradient",
  update: "Step size",
  quiet: "Quiet units",
  activations: "Activations",
}

export class Layers {
  constructor(root) {
    this.root = root
    this.chart = "gradient"
    this.window = "all"
    this.layer = ""
    this.choices = element("div", { class: "live-choices", role: "group" })
    this.choices.setAttribute("aria-label", "What to look at")
    this.about = element("p", { class: "live-small" })
    this.figureBox = element("div", {})
    this.caption = element("p", { class: "live-small" })
    this.layerChoice = element("select", { "aria-label": "Layer", hidden: true })
    this.layerChoice.onchange = () => {
      this.layer = this.layerChoice.value
      this.load()
    }
    for (const [id, title] of Object.entries(CHARTS)) {
      const button = element("button", { type: "button", "data-chart": id }, title)
      button.onclick = () => {
        this.chart = id
        this.load()
      }
      this.choices.append(button)
    }
    this.newest = element("button", { type: "button", "aria-pressed": "false" }, "Newest only")
    this.newest.onclick = () => {
      this.window = this.window === "all" ? "60" : "all"
      this.load()
    }
    this.choices.append(this.newest, this.layerChoice)
    root.replaceChildren(
      element("summary", {}, icon("monitor_heart"), "Gradient health: which layers learn"),
      this.choices,
      this.about,
      this.figureBox,
      this.caption,
    )
    root.ontoggle = () => root.open && this.load()
    root.hidden = true
    // A chart that nobody sees, below the fold, costs nothing.
    this.sight = new IntersectionObserver((entries) => {
      this.isSeen = entries.at(-1).isIntersecting
      if (this.isSeen && root.open && this.drawn !== this.samples) this.load()
    })
    this.sight.observe(root)
  }

  take(samples, run) {
    const other = run.id !== this.run?.id
    if (other) this.drawn = null
    this.run = run
    this.samples = samples
    this.root.hidden = !samples
    if (samples && this.isPlaced === undefined) {
      this.isPlaced = true
      this.root.open = this.root.closest(".live").clientWidth >= WIDE
    }
    if (!samples || !this.root.open) return
    if (other) this.load()
    else this.timer ??= setTimeout(() => this.load(), PAUSE)
  }

  async load() {
    clearTimeout(this.timer)
    this.timer = null
    if (document.hidden || !this.isSeen || !this.root.open) return
    this.drawn = this.samples
    for (const button of this.choices.querySelectorAll("[data-chart]")) {
      button.setAttribute("aria-pressed", String(button.dataset.chart === this.chart))
    }
    this.newest.setAttribute("aria-pressed", String(this.window !== "all"))
    const query = new URLSearchParams({ chart: this.chart, window: this.window, layer: this.layer })
    try {
      const told = await fetchJson(`runs/${this.run.id}/layers?${query}`)
      write(this.about, told.about)
      write(this.caption, told.caption)
      this.layerChoice.hidden = !told.layers.length
      if (this.layerChoice.options.length !== told.layers.length) {
        this.layerChoice.replaceChildren(
          ...told.layers.map((name, i) => element("option", { value: name }, told.titles[i])),
        )
      }
      if (told.layer) this.layerChoice.value = this.layer = told.layer
      this.figureBox.hidden = !told.figure
      if (told.figure) {
        this.figure ??= new Figure(this.figureBox)
        await this.figure.draw(told.figure, told.alt)
      }
    } catch (error) {
      write(this.caption, error.message)
    }
  }

  /** Follows light and dark. */
  follow() {
    this.figure?.follow()
  }

  destroy() {
    clearTimeout(this.timer)
    this.sight.disconnect()
    this.figure?.destroy()
  }
}
