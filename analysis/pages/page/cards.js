"use strict";
// Tables whose rows are cards on a phone: each cell gets the heading of its column.
document.querySelectorAll(".cards table").forEach(function (table) {
  table.classList.add("card");
  Array.prototype.forEach.call(table.tBodies[0].rows, function (row) {
    Array.prototype.forEach.call(row.cells, function (cell, place) {
      cell.dataset.head = table.tHead.rows[0].cells[place].textContent + ": ";
    });
  });
});
