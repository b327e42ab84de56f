/* Cells of the tables. Text is set as text, never as HTML. */
(function () {
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const make = (...parts) => window.React.createElement(...parts);

  function follow(event, address) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    window.history.pushState({}, "", address);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }

  function tone(value) {
    return value < 0.5 ? "low" : value < 0.8 ? "middle" : "high";
  }

  cells.LinkCell = function (props) {
    if (!props.data) return null;
    const address = props.data.address;
    return make(
      "a",
      { href: address, className: "cell-link", onClick: (event) => follow(event, address) },
      String(props.value)
    );
  };

  cells.QualityCell = function (props) {
    if (!props.data) return null;
    if (props.value == null) {
      return make("span", { className: "too-little" }, "too little data");
    }
    const low = props.data.quality_low;
    const high = props.data.quality_high;
    const parts = [
      make("div", {
        key: "value",
        className: tone(props.value),
        style: { width: 100 * props.value + "%" },
      }),
    ];
    let title;
    if (low != null) {
      title = "95 % interval " + low.toFixed(3) + " to " + high.toFixed(3);
      parts.push(
        make("div", {
          key: "interval",
          className: "interval",
          style: { left: 100 * low + "%", width: 100 * (high - low) + "%" },
        })
      );
    }
    return make(
      "div",
      { className: "quality", title: title },
      make("div", { className: "bar", "aria-hidden": "true" }, parts),
      make("span", { className: "number" }, props.value.toFixed(3))
    );
  };

  const client = (window.dash_clientside = window.dash_clientside || {});
  client.crowdlab = {
    /* Give the input of an upload a name, which Dash does not; it is drawn a moment later. */
    nameUpload: function (_, id) {
      function name(tries) {
        const input = document.querySelector("#" + id + " input[type=file]");
        if (input) input.setAttribute("aria-label", "File of predictions");
        else if (tries) window.setTimeout(name, 100, tries - 1);
      }
      name(50);
      return client.no_update;
    },
    /* Name the window after the page, once it is drawn. */
    setTitle: function () {
      window.setTimeout(function () {
        const heading = document.querySelector("main h1");
        document.title = (heading ? heading.innerText + " · " : "") + "Crowdlab";
      }, 100);
      return client.no_update;
    },
    /* Ask for the rows on the page again, and keep place and selection. */
    refreshRows: function () {
      const grid = window.dash_ag_grid && window.dash_ag_grid.getApi("review");
      if (grid) grid.refreshInfiniteCache();
      return client.no_update;
    },
  };

  cells.TrendCell = function (props) {
    const values = props.value || [];
    if (values.length < 2) return make("span", { className: "too-little" }, "–");
    const width = 100;
    const height = 26;
    const step = (width - 6) / (values.length - 1);
    const x = (place) => (3 + place * step).toFixed(1);
    const y = (value) => (height - 3 - value * (height - 6)).toFixed(1);
    const last = values[values.length - 1];
    const text = values.length + " weeks, the last one " + (100 * last).toFixed(0) + " %";
    return make(
      "svg",
      { width: width, height: height, className: "trend", role: "img", "aria-label": text },
      make("title", null, text),
      make("polyline", {
        points: values.map((value, place) => x(place) + "," + y(value)).join(" "),
        fill: "none",
        strokeWidth: 1.5,
      }),
      make("circle", { cx: x(values.length - 1), cy: y(last), r: 2.2 })
    );
  };
})();
