// docs/troubleshooting.md has a section for every fault of base/fault.hpp, under the side whose doing it is, and sends
// nobody to a metric or setting that is not there.
#include "architecture/project.hpp"
#include "base/fault.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

constexpr const char* page = "docs/troubleshooting.md";

struct section {
    std::string side;
    std::vector<std::string> lines{};
};

// By token; a token that has two sections fails the test.
std::map<std::string, section> sections() {
    const std::string side_mark = "## Side: ", token_mark = "### ";
    std::map<std::string, section> found;
    std::string side;
    section* now = nullptr;
    for (const auto& line : lines_of(text_of(page))) {
        if (line.starts_with("## ")) {
            side = line.starts_with(side_mark) ? line.substr(side_mark.size()) : std::string{};
            now = nullptr;
        } else if (line.starts_with(token_mark)) {
            const auto [made, is_new] = found.try_emplace(line.substr(token_mark.size()), section{side});
            INFO(line);
            CHECK(is_new);
            now = &made->second;
        } else if (now != nullptr) {
            now->lines.push_back(line);
        }
    }
    return found;
}

std::set<std::string> matches_of(const std::string& text, const std::regex& wanted) {
    std::set<std::string> found;
    for (std::sregex_iterator each{text.begin(), text.end(), wanted}, end; each != end; ++each)
        found.insert((*each)[1]);
    return found;
}

} // namespace

TEST_CASE("docs/troubleshooting.md has one section for every fault, under its side") {
    std::set<std::string> documented, built;
    for (const auto& [token, of] : sections()) documented.insert(token + ' ' + of.side);
    for (const auto& row : base::fault_table)
        if (row.kind != base::fault::none)
            built.insert(std::string(row.token) + ' ' + std::string(base::to_string(row.blame)));
    CHECK(documented == built);
}

TEST_CASE("each section says what its fault means, what is likely, what to look at and what to do") {
    for (const auto& [token, of] : sections()) {
        INFO(token);
        REQUIRE_FALSE(of.lines.empty());
        // The list of `scoregate explain` has a line of the first sentence, which therefore ends on the first line.
        const auto& meaning = of.lines.front();
        const auto end = meaning.find(". ");
        CHECK((end != std::string::npos || meaning.ends_with('.')));
        CHECK(std::min(end, meaning.size()) <= 95);
        std::vector<std::string> parts;
        for (const auto& line : of.lines)
            if (line.starts_with("- ")) parts.push_back(line.substr(0, line.find(':') + 2));
        CHECK(parts == std::vector<std::string>{"- *Likely*: ", "- *Look at*: ", "- *Do*: "});
    }
}

TEST_CASE("docs/troubleshooting.md names metrics and settings that there are") {
    const auto text = text_of(page), metrics = text_of("docs/metrics.md"), settings = text_of("docs/configuration.md");
    const std::regex suffix{"_(bucket|sum|count)$"};
    for (const auto& name : matches_of(text, std::regex{R"(\b((scoregate|process)_\w+))"})) {
        INFO(name);
        const auto row = "| `" + std::regex_replace(name, suffix, "");
        CHECK((metrics.find(row + '`') != std::string::npos || metrics.find(row + '{') != std::string::npos));
    }
    for (const auto& key : matches_of(text, std::regex{R"(`((limits|timeouts)\.\w+)`)"})) {
        INFO(key);
        CHECK(settings.find("| `" + key + "` |") != std::string::npos);
    }
    // Within a line, so that it can be copied, and printed without being broken.
    for (const auto& line : lines_of(text)) {
        INFO(line);
        CHECK(std::count(line.begin(), line.end(), '`') % 2 == 0);
    }
}
