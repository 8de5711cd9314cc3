// What stands out in a run: each verdict with its evidence, a suggestion and one thing to press.

import { element, icon } from "./dom.js"

const ICONS = {
  vanishing_gradients: "trending_down",
  exploding: "whatshot",
  dead_units: "power_off",
  overfitting: "menu_book",
  underfitting: "battery_1_bar",
  rate_too_high: "keyboard_double_arrow_up",
  rate_too_low: "keyboard_double_arrow_down",
  one_class: "filter_1",
  small_validation: "groups",
  flattering_validation: "theater_comedy",
  plateau: "horizontal_rule",
  saturated_softmax: "priority_high",
  second_phase: "looks_two",
}

export class Verdicts {
  /** `act` gets what a person pressed: { fix: kind } or { compare: [run, run] }. */
  constructor(root, act) {
    this.root = root
    this.act = act
    this.heading = element("h2", {}, "What stands out")
    this.body = element("div", { class: "live-verdicts" })
    root.replaceChildren(this.heading, this.body)
    root.hidden = true
  }

  take({ verdicts, judged_by: judgedBy, problem }, run) {
    this.root.hidden = !verdicts.length && ["queued", "preparing"].includes(run.status)
    const cards = verdicts.map((verdict) => this.card(verdict, run))
    if (!cards.length) cards.push(element("p", {}, run.status === "completed" ? "Nothing." : "Nothing so far."))
    if (problem) cards.push(element("p", { class: "live-small" }, problem))
    if (judgedBy) cards.push(element("p", { class: "live-small" }, judgedBy))
    this.body.replaceChildren(...cards)
  }

  clear() {
    this.root.hidden = true
    this.body.replaceChildren()
  }

  card(verdict, run) {
    const { kind, title, sentence, evidence, suggestion, change, button: words, fixed_by: other } = verdict
    const card = element(
      "article",
      { class: "live-verdict" },
      element("p", {}, icon(ICONS[kind] ?? "info"), element("strong", {}, `${title}. `), sentence),
      element("p", { class: "live-small" }, evidence),
      element("p", {}, icon("lightbulb"), suggestion),
    )
    if (!change) return card
    card.append(element("p", { class: "live-small" }, `The change: ${change}.`))
    const button = element("button", { type: "button" })
    if (other) {
      button.append(icon("compare_arrows"), `Compare with “${other.name}”`)
      button.onclick = () => this.act({ compare: [run.id, other.id] })
    } else {
      button.append(icon("play_arrow"), words)
      button.title = "Queues a second run, the same but for this, and compares the two."
      button.onclick = () => {
        button.disabled = true
        this.act({ fix: kind, run: run.id })
      }
    }
    card.append(button)
    return card
  }
}
