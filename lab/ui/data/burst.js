// The camera: while the button is held, a few pictures a second; let go, and they go to the page.

const SIDE = 640 // longest side in pixels of a picture
const SHOWN = 12 // thumbnails of the newest pictures

const cameras = new WeakMap() // root -> its camera

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".burst")
  if (!cameras.has(root)) cameras.set(root, camera(root))
  const running = cameras.get(root)
  running.update(data, (pictures) => setTriggerValue("pictures", pictures))
  return () => {
    running.stop()
    cameras.delete(root)
  }
}

function camera(root) {
  const [video, shoot, turn, count, thumbs, message] = [
    "video",
    "shoot",
    "turn",
    "count",
    "thumbs",
    "message",
  ].map((name) => root.querySelector(`.${name}`))
  const canvas = document.createElement("canvas")
  let data = { rate: 5, most: 200 }
  let hand = () => {}
  let stream
  let facing = "environment"
  let stopped = false
  let timer
  let pictures = []
  let bytes = 0 // of the burst, as it is sent

  const say = (text) => {
    message.textContent = text
    message.hidden = !text
  }
  const close = () => stream?.getTracks().forEach((track) => track.stop())
  const start = async () => {
    if (!navigator.mediaDevices?.getUserMedia)
      return say(
        "The browser gives no camera to this page: open the lab on this machine or over https.",
      )
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: facing } })
      const devices = await navigator.mediaDevices.enumerateDevices()
      turn.hidden = devices.filter((device) => device.kind === "videoinput").length < 2
    } catch (error) {
      return say(
        error.name === "NotAllowedError"
          ? "The camera was refused: allow it beside the browser's address, and switch it on again."
          : `There is no camera that can be used (${error.name}).`,
      )
    }
    if (stopped) return close()
    video.srcObject = stream
    await video.play().catch(() => {}) // paused by the browser: the picture comes all the same
    shoot.disabled = false
  }
  const picture = () => {
    const [width, height] = [video.videoWidth, video.videoHeight]
    if (!width) return
    if (pictures.length >= data.most) return letGo()
    const scale = Math.min(1, SIDE / Math.max(width, height))
    canvas.width = Math.max(1, Math.round(width * scale))
    canvas.height = Math.max(1, Math.round(height * scale))
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height)
    const url = canvas.toDataURL("image/jpeg", 0.9)
    if (pictures.length && bytes + url.length > data.most_bytes) return letGo()
    pictures.push(url)
    bytes += url.length
    count.textContent = `${pictures.length} picture${pictures.length === 1 ? "" : "s"}`
    const thumb = document.createElement("img")
    thumb.src = url
    thumb.alt = ""
    thumbs.prepend(thumb)
    while (thumbs.children.length > SHOWN) thumbs.lastChild.remove()
  }
  const hold = () => {
    if (timer || shoot.disabled) return
    pictures = []
    bytes = 0
    thumbs.replaceChildren()
    shoot.classList.add("shooting")
    picture() // a short press is one picture
    timer = setInterval(picture, 1000 / data.rate)
  }
  const letGo = () => {
    if (!timer) return
    clearInterval(timer)
    timer = undefined
    shoot.classList.remove("shooting")
    if (pictures.length && !stopped) hand(pictures)
  }
  shoot.onpointerdown = (event) => {
    shoot.setPointerCapture(event.pointerId) // letting go counts outside the button, too
    hold()
  }
  shoot.onpointerup = letGo
  shoot.onpointercancel = letGo
  shoot.oncontextmenu = (event) => event.preventDefault()
  shoot.onkeydown = (event) => {
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault()
      hold()
    }
  }
  shoot.onkeyup = letGo
  shoot.onblur = letGo
  turn.onclick = () => {
    close()
    facing = facing === "environment" ? "user" : "environment"
    start()
  }
  start()
  return {
    stop: () => {
      stopped = true
      clearInterval(timer)
      close()
    },
    update: (newData, handOver) => {
      data = newData
      hand = handOver
      video.setAttribute("aria-label", data.alt)
    },
  }
}
