// The report as one page: tables, and plots as SVG.

#include <algorithm>
#include <cmath>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "report.h"

namespace gradwire::bench {
namespace {

using nlohmann::json;

constexpr double kWidth = 560;
constexpr double kHeight = 220;
constexpr double kLeft = 60;
constexpr double kBottom = 30;
constexpr double kTop = 24;

struct Line {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

// 1, 2 or 5 times a power of ten, with four to ten steps up to `largest`.
double StepFor(double largest) {
  const double power = std::pow(10, std::floor(std::log10(largest / 4)));
  for (const double factor : {5.0, 2.0}) {
    if (power * factor * 4 <= largest) return power * factor;
  }
  return power;
}

// Lines over a common x axis; y begins at 0. `tick` names places on the x axis.
std::string Plot(const std::string& title, const std::vector<Line>& lines,
                 const std::vector<std::pair<double, std::string>>& ticks) {
  static const std::vector<std::string> kColours = {"#1f6feb", "#d1242f", "#1a7f37"};
  double right = 1e-9;
  double top = 1e-9;
  for (const Line& line : lines) {
    for (const auto& [x, y] : line.points) {
      right = std::max(right, x);
      top = std::max(top, y);
    }
  }
  const double step = StepFor(top);
  top = std::ceil(top / step) * step;
  const auto place_x = [&](double x) { return kLeft + x / right * (kWidth - kLeft - 10); };
  const auto place_y = [&](double y) {
    return kHeight - kBottom - y / top * (kHeight - kBottom - kTop);
  };
  std::string svg =
      absl::StrFormat("<figure><figcaption>%s</figcaption><svg viewBox='0 0 %g %g' role='img'>\n",
                      Escape(title), kWidth, kHeight);
  for (int line = 0; line * step <= top * 1.001; ++line) {
    const double y = line * step;
    absl::StrAppendFormat(&svg,
                          "<line x1='%g' x2='%g' y1='%.1f' y2='%.1f' class='grid'/>"
                          "<text x='%g' y='%.1f' text-anchor='end'>%g</text>\n",
                          kLeft, kWidth - 10, place_y(y), place_y(y), kLeft - 6, place_y(y) + 4, y);
  }
  for (const auto& [x, name] : ticks) {
    if (x > right * 1.001) continue;
    absl::StrAppendFormat(&svg, "<text x='%.1f' y='%g' text-anchor='middle'>%s</text>\n",
                          place_x(x), kHeight - 10, Escape(name));
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string& colour = kColours[i % kColours.size()];
    svg += "<polyline fill='none' stroke='" + colour + "' stroke-width='1.5' points='";
    for (const auto& [x, y] : lines[i].points) {
      absl::StrAppendFormat(&svg, "%.1f,%.1f ", place_x(x), place_y(y));
    }
    absl::StrAppendFormat(&svg, "'/><text x='%g' y='14' fill='%s'>%s</text>\n",
                          kLeft + 10 + 120 * static_cast<double>(i), colour, Escape(lines[i].name));
  }
  return svg + "</svg></figure>\n";
}

std::string OverTime(const json& report, const std::string& title,
                     const std::vector<std::pair<std::string, std::string>>& fields,
                     double unit = 1) {
  std::vector<Line> lines;
  double end = 1;
  for (const auto& [field, name] : fields) {
    Line& line = lines.emplace_back(Line{name, {}});
    for (const json& second : report["timeline"]) {
      end = second["at"].get<double>();
      line.points.emplace_back(end, second[field].get<double>() / unit);
    }
  }
  std::vector<std::pair<double, std::string>> ticks;
  const double step = StepFor(end);
  for (int tick = 0; tick * step <= end; ++tick) {
    ticks.emplace_back(tick * step, absl::StrCat(tick * step, " s"));
  }
  return Plot(title, lines, ticks);
}

// Percentiles over how rare what is slower is, as HdrHistogram's plots have it.
std::string Curve(const json& report) {
  Line line{"all but open and close", {}};
  const auto place = [](double quantile) { return -std::log10(1 - quantile); };
  for (const json& point : report["total"]["curve"]) {
    line.points.emplace_back(place(point[0].get<double>()), point[1].get<double>());
  }
  std::vector<std::pair<double, std::string>> ticks;
  for (const double quantile : {0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999}) {
    ticks.emplace_back(place(quantile), absl::StrFormat("%g %%", 100 * quantile));
  }
  return Plot("latency by percentile, ms", {line}, ticks);
}

std::string Table(const json& report) {
  std::string html =
      "<table><tr><th>call<th>calls<th>errors<th>per "
      "s<th>mean<th>p50<th>p90<th>p99<th>p99.9<th>max";
  const auto row = [&](const std::string& name, const json& call) {
    absl::StrAppendFormat(&html, "<tr><td>%s<td>%d<td>%d<td>%.1f", Escape(name),
                          call["calls"].get<uint64_t>(), call["errors"].get<uint64_t>(),
                          call["rate"].get<double>());
    for (const char* field : {"mean", "p50", "p90", "p99", "p99.9", "max"}) {
      absl::StrAppendFormat(&html, "<td>%.2f", call[field].get<double>());
    }
  };
  for (const auto& [name, call] : report["calls"].items()) row(name, call);
  row("all but open and close", report["total"]);
  return html + "</table>\n";
}

std::string List(const json& items) {
  std::string html = "<ul>";
  for (const json& item : items) html += "<li>" + Escape(item.get<std::string>());
  return html + "</ul>\n";
}

constexpr const char* kHead =
    "<!doctype html><meta charset='utf-8'><title>gradwire load test</title><style>"
    "body{font:15px system-ui,sans-serif;margin:2rem auto;max-width:1180px;padding:0 "
    "1rem;color:#1f2328}"
    "table{border-collapse:collapse}td,th{padding:.2rem .7rem;text-align:right;"
    "border-bottom:1px solid #d1d9e0}td:first-child,th:first-child{text-align:left}"
    "figure{display:inline-block;width:560px;max-width:100%;margin:1rem 1rem 0 0}"
    "svg{width:100%;font:11px system-ui,sans-serif}.grid{stroke:#d1d9e0}"
    ".good{color:#1a7f37}.bad{color:#d1242f}</style>\n<h1>gradwire load test</h1>\n";

}  // namespace

std::string ToHtml(const json& report) {
  const bool good = report["violations"].empty();
  std::string html = kHead;
  absl::StrAppendFormat(
      &html,
      "<p class='%s'><b>%s</b></p>\n<p>%.0f s measured: %d calls, %.1f a second; p50 %.2f ms, p99 "
      "%.2f ms. %d answers verified, <b>%d wrong</b>, %d equal to the last bit. %d clients died. "
      "%d arrivals were not served by the end.</p>\n",
      good ? "good" : "bad",
      good ? "All thresholds hold." : "Thresholds are violated:", report["seconds"].get<double>(),
      report["total"]["calls"].get<uint64_t>(), report["total"]["rate"].get<double>(),
      report["total"]["p50"].get<double>(), report["total"]["p99"].get<double>(),
      report["verified"].get<uint64_t>(), report["wrong"].get<uint64_t>(),
      report["exact"].get<uint64_t>(), report["died"].get<uint64_t>(),
      report["unserved"].get<uint64_t>());
  if (!good) html += List(report["violations"]);
  html += "<h2>Latency in milliseconds</h2>\n" + Table(report);
  html += OverTime(report, "calls a second", {{"calls", "calls"}, {"errors", "errors"}});
  html += OverTime(report, "latency in each second, ms", {{"p50", "p50"}, {"p99", "p99"}});
  html += Curve(report);
  html += OverTime(report, "sessions, calls under way",
                   {{"sessions", "sessions"}, {"in_flight", "under way"}});
  if (report["server_memory"]["start"] != 0) {
    html +=
        OverTime(report, "resident memory of the server, MB", {{"server_bytes", "memory"}}, 1e6);
  }
  if (!report["examples"].empty()) {
    html += "<h2>The first errors</h2>\n" + List(report["examples"]);
  }
  html += "<h2>Settings</h2>\n<table>";
  for (const auto& [name, value] : report["settings"].items()) {
    html += "<tr><td>" + Escape(name) + "<td>" + Escape(value.get<std::string>());
  }
  return html + "</table>\n";
}

}  // namespace gradwire::bench
