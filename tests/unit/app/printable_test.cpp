#include "app/printable.hpp"

#include <catch2/catch.hpp>

using namespace scoregate::app;

TEST_CASE("what a terminal would obey is not shown to it") {
    CHECK(printable("\x1b[2Jiris \xc2\x9b"
                    "2J\x7f\r\n") == "?[2Jiris ?2J???");
    CHECK(printable("pr\xc3\xa9vision, \xe4\xb8\xad") == "pr\xc3\xa9vision, \xe4\xb8\xad");
    CHECK(printable("gpj\xe2\x80\xae.exe\xe2\x81\xa6 \xe2\x80\xa6") == "gpj?.exe? \xe2\x80\xa6");
    CHECK(printable("\xc2") == "\xc2"); // half a character
    CHECK(printable("") == "");
    CHECK(printable("{\n  \"a\": 1\n}\n\x1b", line_ends::kept) == "{\n  \"a\": 1\n}\n?");
}
