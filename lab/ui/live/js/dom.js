// Small helpers for what a module draws.

/** A new element; attributes that are null or false are left out, true is an empty one. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) continue
    if (name.startsWith("on")) made[name] = value
    else made.setAttribute(name, value === true ? "" : value)
  }
  made.append(...children.filter((child) => child !== null && child !== undefined))
  return made
}

/** Writes a text only where it is another one: an unchanged page costs the browser nothing. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text
}

/** One of Streamlit's icons (Material Symbols, part of its own page). */
export function icon(name) {
  return element("span", { class: "live-icon", "aria-hidden": "true" }, name)
}

const loaded = new Map()

/** Loads a style sheet or a classic script once a page; the address is relative to this module. */
export function loadOnce(tag, name) {
  const url = new URL(name, import.meta.url).href
  if (!loaded.has(url)) {
    const promise = new Promise((resolve, reject) => {
      const made = element(tag, tag === "link" ? { rel: "stylesheet", href: url } : { src: url })
      made.onload = resolve
      made.onerror = () => reject(new Error(`${url} did not load`))
      document.head.append(made)
    })
    promise.catch(() => loaded.delete(url)) // the next one may try again
    loaded.set(url, promise)
  }
  return loaded.get(url)
}

/** An address of the lab's API; pages lie at the server's root. */
export function apiUrl(path) {
  return new URL(`api/${path}`, document.baseURI).href
}

/** JSON from the lab's API; its own sentence where it answers with one. */
export async function fetchJson(path) {
  const answer = await fetch(apiUrl(path))
  const values = await answer.json()
  if (!answer.ok) throw new Error(values.error ?? `The server answered ${answer.status}.`)
  return values
}

/** Streamlit's colours as they are now: light, dark, or the person's own. */
export function readTheme(root) {
  const style = getComputedStyle(root)
  const read = (name) => style.getPropertyValue(`--st-${name}`).trim()
  const palette = read("chart-categorical-colors").split(",").map((colour) => colour.trim())
  return {
    text: read("text-color"),
    background: read("background-color"),
    border: read("border-color"),
    font: read("font"),
    palette,
    train: palette[0],
    validation: palette[1],
    best: palette[3] ?? palette[1],
  }
}

/** One object a place on the page: Streamlit calls `render` again with new data, and its clean-up
 * also where the element stays. */
export function mounted(Class) {
  const views = new WeakMap() // parentElement -> object
  return (component) => {
    const { parentElement } = component
    let view = views.get(parentElement)
    if (!view) {
      view = new Class(parentElement.querySelector(".live"))
      views.set(parentElement, view)
    }
    view.receive(component)
    return () =>
      setTimeout(() => {
        if (parentElement.isConnected) return
        view.destroy()
        views.delete(parentElement)
      })
  }
}
