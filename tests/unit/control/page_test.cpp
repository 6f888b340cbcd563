#include "control/page.hpp"

#include <catch2/catch.hpp>

#include <regex>

using namespace scoregate::control;

namespace {

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

} // namespace

TEST_CASE("the page is one text with all its parts") {
    const auto& page = the_page();
    CHECK(page.html.starts_with("<!DOCTYPE html>"));
    CHECK(has(page.html, "<style>" + std::string(page_css) + "</style>"));
    CHECK(has(page.html, "<script>" + std::string(page_js) + "</script>"));
    CHECK_FALSE(has(page.html, "/*style*/"));
    CHECK_FALSE(has(page.html, "/*script*/"));
    CHECK_FALSE(has(page_js, "</script")); // would end it early
    CHECK(page.html.size() < 65536);
}

TEST_CASE("the page asks nobody but its own port, and its policy lets it do nothing else") {
    const auto& page = the_page();
    CHECK_FALSE(std::regex_search(page.html, std::regex(R"((src|href)="(?!#|data:,))")));
    CHECK_FALSE(has(page_css, "url("));
    CHECK_FALSE(has(page_css, "@import"));
    for (const auto* markup : {"innerHTML", "insertAdjacentHTML", "document.write", "eval(", "style="}) {
        INFO(markup);
        CHECK_FALSE(has(page.html, markup));
    }
    // SHA-256 in base64 is 44 characters, the last of which is padding.
    CHECK(std::regex_search(page.policy, std::regex("script-src 'sha256-[A-Za-z0-9+/]{43}='; "
                                                    "style-src 'sha256-[A-Za-z0-9+/]{43}='; ")));
    CHECK(page.policy.starts_with("default-src 'none'; "));
    CHECK(has(page.policy, "connect-src 'self'; "));
    CHECK_FALSE(has(page.policy, "unsafe"));
}
