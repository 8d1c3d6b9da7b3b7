// a click on the head of a table's column sorts its rows, a second one the other way round; numbers stand in data-value
document.querySelectorAll("table.sortable th button").forEach(function (button) {
  button.addEventListener("click", function () {
    var head = button.parentElement, column = head.cellIndex, body = head.closest("table").tBodies[0];
    var rising = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    var rows = Array.from(body.rows).map(function (row, place) {
      var cell = row.cells[column], value = cell.dataset.value;
      return { row: row, place: place, value: value === undefined ? cell.textContent : Number(value) };
    });
    rows.sort(function (one, other) {
      var order = typeof one.value === "number" ? one.value - other.value : one.value.localeCompare(other.value);
      return rising * order || one.place - other.place;
    });
    rows.forEach(function (each) { body.append(each.row); });
    Array.from(head.parentElement.cells).forEach(function (cell) { cell.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", rising === 1 ? "ascending" : "descending");
  });
});
// who asked the system for little motion sees the skeletons stand still
if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
  document.querySelectorAll("svg").forEach(function (drawing) { drawing.pauseAnimations(); });
}
