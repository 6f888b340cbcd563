// What the pages point at is there: files and headings that Markdown links to, pages that comments name.
#include "architecture/project.hpp"

#include <catch2/catch.hpp>

#include <cctype>
#include <filesystem>
#include <regex>
#include <set>

using namespace scoregate::tests;

namespace {

// How the usual renderers turn a heading into an anchor: lower case, blanks to dashes, other punctuation dropped.
std::set<std::string> anchors_of(const std::string& markdown) {
    std::set<std::string> anchors;
    for (const auto& line : lines_of(markdown)) {
        const auto text = line.find_first_not_of('#');
        if (text == 0 || text == std::string::npos || line[text] != ' ') continue;
        std::string anchor;
        for (const unsigned char c : line.substr(text + 1)) {
            if (std::isalnum(c) != 0 || c == '-' || c == '_') anchor += static_cast<char>(std::tolower(c));
            if (c == ' ') anchor += '-';
        }
        anchors.insert(anchor);
    }
    return anchors;
}

std::vector<std::string> links_of(const std::string& markdown) {
    static const std::regex link{R"(\]\(([^)\s]+)\))"};
    std::vector<std::string> links;
    bool fenced = false;
    for (const auto& line : lines_of(markdown)) {
        if (line.starts_with("```")) fenced = !fenced;
        if (fenced) continue;
        for (std::sregex_iterator each{line.begin(), line.end(), link}, end; each != end; ++each)
            links.push_back((*each)[1]);
    }
    return links;
}

} // namespace

TEST_CASE("every link of a page leads to a file and heading that is there") {
    std::size_t followed = 0;
    for (const auto& page : files_below(".", {".md"})) {
        for (const auto& link : links_of(text_of(page))) {
            if (link.starts_with("https://") || link.starts_with("http://")) continue;
            INFO(page << " links to " << link);
            const auto mark = link.find('#');
            const auto path = link.substr(0, mark);
            const auto target =
                path.empty() ? page : (std::filesystem::path(page).parent_path() / path).lexically_normal().string();
            REQUIRE(exists(target));
            if (mark != std::string::npos) CHECK(anchors_of(text_of(target)).contains(link.substr(mark + 1)));
            ++followed;
        }
    }
    CHECK(followed > 20);
}

TEST_CASE("every page that the code names is there") {
    const std::regex named{R"(docs/[a-z0-9/-]+\.md)"};
    for (const auto& file : files_below("server", {".cpp", ".hpp", ".ipp"})) {
        const auto text = text_of(file);
        for (std::sregex_iterator each{text.begin(), text.end(), named}, end; each != end; ++each) {
            INFO(file << " names " << each->str());
            CHECK(exists(each->str()));
        }
    }
}
