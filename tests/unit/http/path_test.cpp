#include "http/path.hpp"
#include "support/results.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace scoregate;

namespace {

// The normalised path, or what is wrong with it.
std::string normalised(std::string_view sent) {
    std::string room = "of another path before";
    const auto made = http::normalise_path(sent, room);
    if (!made) CHECK(made.error().kind == base::fault::bad_request);
    return made ? std::string(*made) : made.error().detail;
}

std::string escape_of(unsigned byte) {
    char text[4];
    std::snprintf(text, sizeof text, "%%%02x", byte);
    return text;
}

// RFC 3629 4 by decoding, instead of by the bounds of each byte.
bool is_character(const std::string& bytes) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const std::size_t size = at(0) >= 0xf0 ? 4 : at(0) >= 0xe0 ? 3 : 2;
    if (at(0) < 0xc0 || at(0) >= 0xf8 || bytes.size() != size) return false;
    std::uint32_t code = at(0) & (0xffU >> (size + 1));
    for (std::size_t i = 1; i < size; ++i) {
        if ((at(i) & 0xc0) != 0x80) return false;
        code = code << 6 | (at(i) & 0x3f);
    }
    constexpr std::uint32_t shortest[] = {0, 0, 0x80, 0x800, 0x10000};
    return code >= shortest[size] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) && code > 0x9f;
}

} // namespace

TEST_CASE("a path that needs nothing is the one that was sent, in its place") {
    for (const std::string_view sent : {"/", "/score", "/api/v1/service/iris/score", "/a/b/", "/a.b/c..d", "/a;b=1/c",
                                        "/:@!$&'()*+,=~", "/{}|[]", "/a;"}) {
        std::string room;
        const auto made = http::normalise_path(sent, room);
        REQUIRE(made);
        CHECK(made->data() == sent.data());
        CHECK(made->size() == sent.size());
    }
}

TEST_CASE("escapes of unreserved characters are decoded, the digits of the others made capital") {
    struct row {
        std::string sent, made;
    };
    const std::vector<row> rows{
        {"/api/v1/service/ir%69s/%73core", "/api/v1/service/iris/score"},
        {"/%41%7a%30%2d%5F%7e", "/Az0-_~"},
        {"/swagger%2ejson", "/swagger.json"},
        {"/a%2e%2e%2eb/%2e%2e%2e", "/a...b/..."},
        {"/caf%c3%a9", "/caf%C3%A9"},
        {"/%E2%82%AC/%f0%9f%8c%b7/", "/%E2%82%AC/%F0%9F%8C%B7/"},
        {"/a%20b%3fc%23d%3be%3A", "/a%20b%3Fc%23d%3Be%3A"},
        {"/%2b%26%3d%40%22%3c%5b%7B", "/%2B%26%3D%40%22%3C%5B%7B"},
    };
    for (const auto& row : rows) {
        CHECK(normalised(row.sent) == row.made);
        CHECK(normalised(row.made) == row.made); // once is enough
    }
}

TEST_CASE("what two servers could read as two paths is refused") {
    const std::string escape = "A percent sign in the path that begins no escape (RFC 3986 2.1)",
                      control = "An escaped control character in the path (RFC 3986 7.3)",
                      slash = "An escaped slash, backslash or percent sign in the path (RFC 3986 7.3)",
                      empty = "An empty segment in the path (RFC 3986 3.3)",
                      dots = "A dot segment in the path (RFC 3986 3.3)";
    const std::vector<std::pair<std::string, std::vector<std::string>>> rows{
        {escape, {"/%", "/a%", "/%4", "/%4/", "/%zz", "/%4g", "/%g4", "/%%34", "/%u002f", "/% 41", "/%-1"}},
        {control, {"/%00", "/score%00.json", "/%0a", "/%0d%0a", "/%1f", "/%7F", "/%09"}},
        {slash, {"/a%2fb", "/a%2Fb", "/..%2f", "/a%5cb", "/..%5C..%5c", "/%252e%252e", "/a%25", "/%25%32%66"}},
        {empty, {"//", "//a", "/a//b", "/a//", "/;", "/;a/b", "/a/;x", "/%3b/a", "/a/%3fb", "/%23"}},
        {dots,
         {"/.", "/..", "/./", "/../a", "/a/..", "/a/./b", "/%2e", "/%2e%2E/a", "/.%2e", "/a/%2e./b", "/..;/a",
          "/..;x=1", "/.;", "/a/..%3bx/b", "/..%3F", "/.%23/a", "/%2e%2e;a"}},
    };
    for (const auto& [because, paths] : rows)
        for (const auto& path : paths) {
            INFO(path);
            CHECK(normalised(path) == because);
        }
}

TEST_CASE("escapes beyond ASCII are UTF-8: each first byte with each second one") {
    const std::string wrong = "The escapes in the path are not UTF-8 without control characters (RFC 3629 4)";
    for (unsigned first = 0x80; first < 0x100; ++first)
        for (unsigned second = 0; second < 0x100; ++second) {
            std::string bytes{static_cast<char>(first), static_cast<char>(second)};
            std::string sent = "/" + escape_of(first) + escape_of(second);
            for (unsigned third = 0; first >= (third == 0 ? 0xe0U : 0xf0U) && third < 2; ++third) {
                bytes += '\x80';
                sent += "%80";
            }
            const bool accepted = normalised(sent) != wrong;
            if (accepted != is_character(bytes)) FAIL(sent);
        }
    for (const std::string sent :
         {"/%c3", "/%c3/", "/%c3a9", "/%c3%zz", "/%e2%82", "/%e2%82%41", "/%f0%9f%8c", "/%c0%ae", "/%c0%af",
          "/%e0%80%af", "/%f0%80%80%af", "/%ed%a0%80", "/%f4%90%80%80", "/%c2%85", "/%a9", "/%ff"}) {
        INFO(sent);
        CHECK(normalised(sent) == wrong);
    }
}
