#include "app/explanation.hpp"
#include "base/fault.hpp"

#include <catch2/catch.hpp>

#include <sstream>
#include <string>

using namespace scoregate;

namespace {

constexpr std::string_view page = R"(# Troubleshooting

### not_a_token
This stands under no side.

## Side: client

Of the side itself.

### early
It came *too early*. Wait
for it ([when](other.md#when)).
- *Look at*: `sum by (x) (a * b)`.
- *Do*: **wait**,
  then go.

## Side: proxy

### very_late
It came too late.

## Afterwards
### neither
Nor this.
)";

} // namespace

TEST_CASE("a section is told without the marks of Markdown, links by their page") {
    CHECK(app::explanation_of("early", page) == "early (side: client)\n\n"
                                                "It came too early. Wait for it (when: docs/other.md#when).\n"
                                                "- Look at: `sum by (x) (a * b)`.\n"
                                                "- Do: wait, then go.\n");
    CHECK(app::explanation_of("very_late", page) == "very_late (side: proxy)\n\nIt came too late.\n");
}

TEST_CASE("what is no token under a side has no explanation") {
    for (const auto* word : {"", "earl", "early ", "Early", "not_a_token", "neither", "Afterwards", "client"}) {
        INFO(word);
        CHECK(app::explanation_of(word, page).empty());
    }
    CHECK(app::explanation_of("early", "").empty());
    CHECK(app::list_of_tokens("").empty());
}

TEST_CASE("the list has a line for each token, with its side and its first sentence") {
    CHECK(app::list_of_tokens(page) == "early      client  It came too early.\n"
                                       "very_late  proxy   It came too late.\n");
}

TEST_CASE("lines are broken at 100 columns, code is not") {
    const std::string code = '`' + std::string(60, 'a') + ' ' + std::string(60, 'b') + '`';
    std::string text = "## Side: client\n### long\n- *Do*:";
    for (int i = 0; i < 40; ++i) text += " word";
    text += ' ' + code + '\n';
    std::istringstream lines{app::explanation_of("long", text)};
    std::string line;
    std::getline(lines, line); // the token
    std::getline(lines, line);
    bool found = false;
    for (bool first = true; std::getline(lines, line); first = false) {
        INFO(line);
        CHECK(line.starts_with(first ? "- Do:" : "  "));
        found = found || line == "  " + code;
        CHECK((line.size() <= 100 || line == "  " + code));
    }
    CHECK(found);
}

TEST_CASE("the page in the binary explains every fault") {
    std::istringstream list{app::list_of_tokens()};
    std::size_t listed = 0;
    for (std::string line; std::getline(list, line); ++listed) {
        INFO(line);
        CHECK(line.size() <= 140);
        CHECK(line.ends_with('.'));
    }
    CHECK(listed == base::fault_count - 1);
    for (const auto& row : base::fault_table) {
        if (row.kind == base::fault::none) continue;
        INFO(row.token);
        CHECK_FALSE(app::explanation_of(row.token).empty());
    }
}
