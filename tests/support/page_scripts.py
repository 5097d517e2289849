"""What the browser is asked about a page: the marks of a figure, and contrasts of its texts."""

import pytest

pytest.importorskip("altair", reason="the report's libraries are not here; pip install 'freshrank[report]'")
pytest.importorskip("vl_convert", reason="the report's libraries are not here; pip install 'freshrank[report]'")


MARKS = """
[...document.querySelectorAll("figure")].map(figure => {
  const place = figure.querySelector("svg").getBoundingClientRect();
  const baseline = Math.max(...[...figure.querySelectorAll("svg .role-axis-domain > *")].map(
    domain => domain.getBoundingClientRect().bottom));
  const marks = [...figure.querySelectorAll("svg g.role-mark > *")].map(mark => {
    const box = mark.getBoundingClientRect(), drawn = getComputedStyle(mark);
    return {kind: mark.parentNode.classList[0].replace("mark-", ""), left: box.left - place.left,
            right: place.right - box.right, width: box.width, height: box.height, x: box.left + box.width / 2,
            up: baseline - box.top - box.height / 2, fill: drawn.fill, stroke: drawn.stroke};
  });
  const labels = [...figure.querySelectorAll("svg .role-axis-label > *")].filter(
    label => label.getAttribute("opacity") !== "0" && label.style.opacity !== "0");
  return [figure.id, {marks, width: place.width, room: figure.querySelector(".chart").clientWidth,
    labels: labels.map(label => (({left, right, top, bottom}) => ({left, right, top, bottom}))(
      label.getBoundingClientRect()))}];
})
"""
"""Script that returns the marks of each figure and the boxes of the visible labels of its axes.

A mark has its distances from the left and right edges and from the axis below.
"""

CONTRASTS = """
(() => {
  const numbers = colour => colour.match(/[0-9.]+/g).map(Number);
  const linear = part => (part /= 255) <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const contrast = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const ground = element => {
    for (; element; element = element.parentElement) {
      const colour = numbers(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const told = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName)) continue;
    const style = getComputedStyle(element), ink = element.closest("svg") ? style.fill : style.color;
    told.push({what: walker.currentNode.textContent.slice(0, 40), size: parseFloat(style.fontSize), kind: "text",
               contrast: contrast(numbers(ink), ground(element))});
  }
  for (const line of document.querySelectorAll("svg .mark-line.role-mark > *")) {
    told.push({what: line.parentNode.getAttribute("class"), size: 99, kind: "line",
               contrast: contrast(numbers(getComputedStyle(line).stroke), ground(line.closest("figure")))});
  }
  return told;
})()
"""
"""WCAG's contrast of every text and line with the ground it stands on, and the size of every text in pixels."""
