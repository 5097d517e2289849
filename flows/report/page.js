// Draws each figure into its place. `ready` tells when all of them stand.
const specs = JSON.parse(document.getElementById("specs").textContent);
window.ready = Promise.all(
  [...document.querySelectorAll("[data-figure]")].map((place) =>
    vegaEmbed(place, specs[place.dataset.figure], {
      mode: "vega-lite",
      renderer: "svg", // so that the style sheet gives the colours
      ast: true, // so that no text is ever run as a script
      actions: false,
      tooltip: { disableDefaultStyle: true },
    })
  )
);
