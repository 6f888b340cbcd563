// That the cases can fail: what a pattern takes and what it does not, and which files are refused.
#include "conformance/wire_case.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

using namespace scoregate::tests;
using verdict = wire_pattern::verdict;

namespace {

const std::string begin = "# A case.\ncites CL.TE\n", sends = "client sends\n| a\n", end = "connection closed\n";

wire_pattern::result match(std::string_view pattern, std::string_view text) {
    return parse_wire_pattern(pattern).match(text);
}

} // namespace

TEST_CASE("a pattern of bytes matches those bytes, and says how far") {
    const auto whole = match(R"(a\r\n\x00\\{b*3}{}{"c":1})", std::string_view("a\r\n\0\\bbb{}{\"c\":1}X", 18));
    CHECK(whole.is == verdict::matches);
    CHECK(whole.size == 17);
    CHECK(match("abc", "ab").is == verdict::more_needed);
    CHECK(match("abc", "").is == verdict::more_needed);
    CHECK(match("abc", "abd").is == verdict::differs);
    CHECK(match("abc", "x").is == verdict::differs);
    CHECK(match(R"({a\r\n*2}b)", "a\r\na\r\nb").is == verdict::matches);
}

TEST_CASE("a gap takes what it is for, to the end of its line, and nothing else") {
    const std::string id = "0d0f9c9e-4d5b-4c0e-9a41-6b7c1f2e3d4a";
    CHECK(match(R"({guid}\r\n)", id + "\r\n").is == verdict::matches);
    CHECK(match(R"({guid}\r\n)", id).is == verdict::more_needed);
    CHECK(match(R"({guid}\r\n)", id + "0\r\n").is == verdict::differs);
    CHECK(match(R"({guid}\r\n)", "mine\r\n").is == verdict::differs);
    CHECK(match(R"({date}\r\n)", "Sun, 22 Nov 2026 19:51:52 GMT\r\n").is == verdict::matches);
    CHECK(match(R"({date}\r\n)", "Sun, 22 Nov 2026 19:51:52 GMT, x\r\n").is == verdict::differs);
    CHECK(match(R"({timing}\r\n)", "queue;dur=0.000, connect;dur=1.250, model;dur=12.345\r\n").is == verdict::matches);
    const std::string from = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n"
                             "X-Request-Id: " +
                             id + "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    CHECK(match("{from a}", from).is == verdict::matches);
    CHECK(match("{from b}", from).is == verdict::differs);
    CHECK(match("{from}", from).is == verdict::differs);
}

TEST_CASE("a case as it is read") {
    const auto read = parse_wire_case("# What it shows.\n# More.\ncites RFC 9112 6.1\ncites CL.TE\n\n"
                                      "client sends\n| {a*3}\\r\\n\n| b{guid}\nreplica untouched\n"
                                      "client refused 400 bad_request two words\nconnection closed\n");
    CHECK(read.title == "What it shows.");
    CHECK(read.cites == std::vector<std::string>{"RFC 9112 6.1", "CL.TE"});
    REQUIRE(read.steps.size() == 2);
    CHECK(read.steps[0].bytes == "aaa\r\nb{guid}"); // what is sent has no gaps
    CHECK(read.steps[1].status == 400);
    CHECK(read.steps[1].fault == "bad_request");
    CHECK(read.steps[1].words == "two words");
    CHECK(read.untouched);
    CHECK(read.connection == wire_case::end::closed);
}

TEST_CASE("a file that says something unknown, or too little, is no case") {
    CHECK_NOTHROW(parse_wire_case(begin + sends + "replica untouched\n" + end));
    for (const std::string& wrong :
         {sends + "replica untouched\n" + end,                                        // no title
          "# A case.\n" + sends + "replica untouched\n" + end,                        // cites nothing
          begin + sends + "replica untouched\n",                                      // no end
          begin + sends + end,                                                        // nothing of the replica
          begin + sends + "replica untouched\nreplica receives\n| a\n" + end,         // both
          begin + sends + "replica untouched\nconnection lost\n",                     // no such end
          begin + sends + "replica untouched\n" + end + "client shuts\n",             // behind the end
          begin + sends + "replica untouched\nclient recieves\n| a\n" + end,          // no such step
          begin + "client sends\nreplica untouched\n" + end,                          // no bytes
          begin + "replica untouched\n| a\n" + end,                                   // bytes of no step
          begin + "client sends\n| a \nreplica untouched\n" + end,                    // a space that nobody sees
          begin + "client sends\n| \\q\nreplica untouched\n" + end,                   // no such escape
          begin + "client sends\n| \\x4\nreplica untouched\n" + end,                  // half an escape
          begin + sends + "replica untouched\nclient refused bad_request\n" + end}) { // no status
        INFO(wrong);
        CHECK_THROWS_AS(parse_wire_case(wrong), std::runtime_error);
    }
}
