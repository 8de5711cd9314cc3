// The webcam: a few frames a second go to the lab's API, the answers stand beside the picture. No
// page script runs for that. "Take picture" hands one frame at full size to the page.

const PAUSE = 200 // ms between an answer and the next frame, so five a second at most
const RETRY = 2000 // ms after an error
const NAMED = 3 // classes with a bar
const SHOT_SIDE = 1280 // longest side in pixels of a picture that is taken

const cameras = new WeakMap() // root -> its camera

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".camera")
  if (!cameras.has(root)) cameras.set(root, camera(root))
  const running = cameras.get(root)
  running.update(data, (picture) => setTriggerValue("picture", picture))
  return () => {
    running.stop()
    cameras.delete(root)
  }
}

function camera(root) {
  const [video, answers, message, shoot] = ["video", "answers", "message", "shoot"].map((name) =>
    root.querySelector(`.${name}`),
  )
  const canvas = document.createElement("canvas")
  let networks = []
  let side = 224
  let take = () => {}
  let stream
  let stopped = false
  let timer

  const say = (text) => {
    message.textContent = text
    message.hidden = !text
  }
  const draw = (longest, shortest) => {
    const [width, height] = [video.videoWidth, video.videoHeight]
    const scale = Math.min(1, longest ? longest / Math.max(width, height) : shortest / Math.min(width, height))
    canvas.width = Math.max(1, Math.round(width * scale))
    canvas.height = Math.max(1, Math.round(height * scale))
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height)
  }

  const start = async () => {
    if (!navigator.mediaDevices?.getUserMedia) {
      say("The browser gives no camera to this page: open the lab on this machine or over https.")
      return
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } })
    } catch (error) {
      say(
        error.name === "NotAllowedError"
          ? "The camera was refused: allow it beside the browser's address, and switch it on again."
          : `There is no camera that can be used (${error.name}).`,
      )
      return
    }
    if (stopped) return stop()
    video.srcObject = stream
    await video.play().catch(() => {}) // paused by the browser: the picture comes all the same
    shoot.disabled = false
    look()
  }
  const look = async () => {
    if (stopped) return
    let pause = PAUSE
    if (!document.hidden && video.videoWidth && networks.length) {
      try {
        draw(0, side)
        const frame = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85))
        const asked = networks
        const results = await Promise.all(asked.map((network) => ask(network, frame)))
        if (stopped) return
        show(answers, asked, results)
        say("")
      } catch (error) {
        if (stopped) return
        say(error.message)
        pause = RETRY
      }
    }
    timer = setTimeout(look, pause)
  }
  const stop = () => {
    stopped = true
    clearTimeout(timer)
    stream?.getTracks().forEach((track) => track.stop())
  }
  shoot.onclick = () => {
    draw(SHOT_SIDE)
    take(canvas.toDataURL("image/jpeg", 0.92))
  }
  start()
  return {
    stop,
    update: (data, setPicture) => {
      networks = data.networks
      side = data.side
      take = setPicture
      video.setAttribute("aria-label", data.alt)
    },
  }
}

async function ask(network, frame) {
  // Beside the page, also where the lab is served below a path.
  const root = location.pathname.replace(/\/[^/]*$/, "")
  let reply
  try {
    reply = await fetch(root + network.url, {
      method: "POST",
      body: frame,
      headers: { "Content-Type": "image/jpeg", "X-Requested-With": "lab" },
    })
  } catch {
    throw new Error("The lab does not answer.")
  }
  const result = await reply.json().catch(() => ({}))
  if (!reply.ok) throw new Error(result.error ?? `The lab gives no live answers (${reply.status}).`)
  return result
}

function show(answers, networks, results) {
  answers.replaceChildren(
    ...results.map((result, index) => {
      const column = make("div", "network")
      if (networks.length > 1) column.append(make("div", "name", networks[index].name))
      result.answers.slice(0, NAMED).forEach(({ class: name, probability }, place) => {
        const line = make("div", place ? "line" : "line first")
        line.append(make("span", "", name), make("span", "", percent(probability)))
        const bar = make("div", "bar")
        const fill = make("div", "fill")
        fill.style.width = `${100 * probability}%`
        bar.append(fill)
        column.append(line, bar)
      })
      // Its line is kept free: the column would jump at each frame.
      column.append(make("div", "alarm", result.unlike ? `⚠ ${networks[index].alarm}` : ""))
      return column
    }),
  )
}

const percent = (share) => (share > 0.9995 ? ">99.9%" : `${(100 * share).toFixed(1)}%`)

function make(tag, name = "", text = "") {
  const made = document.createElement(tag)
  if (name) made.className = name
  if (text) made.textContent = text
  return made
}
