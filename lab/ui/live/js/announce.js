// Says outside its page how a run is: in the title of the browser's tab, and by a notification at
// its end, if a person asked for one. A tab that nobody sees has no event stream (stream.js), so
// there the run is asked for now and then.

import { element, fetchJson, icon, write } from "./dom.js"

const LIVE = ["queued", "preparing", "running"]
const HIDDEN_PAUSE = 15_000 // milliseconds between two questions of a tab that nobody sees
const ASKED = "epochlab_notify" // in the tab's session storage: the run to notify of

export class Announcer {
  constructor() {
    this.button = element("button", { type: "button", hidden: true, onclick: () => this.ask() })
    this.label = element("span", {}, "Notify me")
    this.button.append(icon("notifications"), this.label)
    this.onVisibility = () => this.look()
    document.addEventListener("visibilitychange", this.onVisibility)
  }

  /** Follows the run as it is now; another run than before is followed from its state on. */
  follow(run) {
    if (run.id !== this.run?.id) this.sawLive = false
    const ended = this.sawLive && !LIVE.includes(run.status)
    this.sawLive ||= LIVE.includes(run.status)
    this.run = run
    if (this.sawLive) this.writeTitle(title(run))
    this.drawButton()
    if (ended && this.isAsked()) this.notify()
    this.look()
  }

  writeTitle(text) {
    if (document.title !== this.title) this.before = document.title // the page's script set it anew
    this.title = document.title = text
  }

  isAsked() {
    return sessionStorage.getItem(ASKED) === this.run.id
  }

  drawButton() {
    // Browsers have notifications only on this machine's own address and over HTTPS.
    this.button.hidden = !window.isSecureContext || !window.Notification || !LIVE.includes(this.run.status)
    const asked = this.isAsked() && Notification.permission === "granted"
    this.button.setAttribute("aria-pressed", String(asked))
    this.button.title = "A notification of the browser when this run ends, while its page is open."
    if (!this.refused) write(this.label, asked ? "Will notify" : "Notify me")
  }

  async ask() {
    if (this.isAsked()) sessionStorage.removeItem(ASKED)
    else {
      this.refused = (await Notification.requestPermission()) !== "granted"
      if (this.refused) write(this.label, "Blocked by the browser")
      else sessionStorage.setItem(ASKED, this.run.id)
    }
    this.drawButton()
  }

  notify() {
    sessionStorage.removeItem(ASKED)
    if (Notification.permission !== "granted") return
    try {
      const made = new Notification(title(this.run), { body: this.run.message, tag: this.run.id })
      made.onclick = () => window.focus()
    } catch (error) {
      console.debug(error) // phones have them only in service workers
    }
  }

  /** While nobody sees the tab, asks how the run is. */
  look() {
    clearTimeout(this.timer)
    if (!document.hidden || !this.run || !LIVE.includes(this.run.status)) return
    this.timer = setTimeout(async () => {
      const { id } = this.run
      try {
        const run = await fetchJson(`runs/${encodeURIComponent(id)}`)
        if (this.run.id === id && document.hidden) return this.follow(run)
      } catch (error) {
        console.debug(error) // the server is away: next time
      }
      this.look()
    }, HIDDEN_PAUSE)
  }

  destroy() {
    clearTimeout(this.timer)
    document.removeEventListener("visibilitychange", this.onVisibility)
    if (document.title === this.title) document.title = this.before
  }
}

function title({ status, name, progress }) {
  if (status === "running") return `${Math.floor(100 * progress)}% - ${name}`
  return `${status === "completed" ? "done" : status} - ${name}`
}
