#include "base/fault.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <set>
#include <string>

using namespace scoregate::base;

TEST_CASE("each fault has a row of its own, with a stable token and a side") {
    std::set<std::string_view> tokens;
    for (std::size_t i = 1; i < fault_count; ++i) {
        const auto& each = row(static_cast<fault>(i));
        INFO(each.token);
        CHECK(each.kind == static_cast<fault>(i));
        CHECK(token(each.kind) == each.token);
        CHECK(tokens.insert(each.token).second);
        CHECK(each.token.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos);
        CHECK(each.blame != side::none);
        CHECK_FALSE(to_string(each.blame).empty());
        CHECK_FALSE(each.message.empty());
        CHECK(each.message.find('"') == std::string_view::npos); // goes into JSON as it is
        CHECK(each.message.find('\\') == std::string_view::npos);
    }
    CHECK(row(fault::none).token.empty());
}

// The contract's table: a change here is a change of the contract.
TEST_CASE("what a client gets for each fault") {
    const std::map<std::string, std::pair<int, std::string>> contract{
        {"bad_request", {400, "client"}},        {"header_too_large", {431, "client"}},
        {"uri_too_long", {414, "client"}},       {"body_too_large", {413, "client"}},
        {"client_timeout", {408, "client"}},     {"auth_missing", {401, "client"}},
        {"auth_malformed", {401, "client"}},     {"auth_wrong", {401, "client"}},
        {"forbidden", {403, "client"}},          {"queue_full", {503, "proxy"}},
        {"queue_timeout", {503, "proxy"}},       {"https_required", {403, "client"}},
        {"no_route", {404, "client"}},           {"no_deployment", {404, "client"}},
        {"method_not_allowed", {405, "client"}}, {"no_ready_replica", {503, "replica"}},
        {"connect_failed", {502, "replica"}},    {"connect_timeout", {504, "replica"}},
        {"replica_closed", {502, "replica"}},    {"replica_bad_response", {502, "replica"}},
        {"replica_stalled", {504, "replica"}},   {"request_timeout", {504, "replica"}},
        {"total_timeout", {504, "replica"}},     {"model_error", {502, "replica"}},
        {"overloaded", {503, "proxy"}},          {"draining", {503, "proxy"}},
        {"internal_error", {500, "proxy"}},      {"client_gone", {499, "client"}},
        {"stream_idle_timeout", {0, "replica"}}, {"stream_broken", {0, "replica"}},
        {"auth_expired", {401, "client"}},       {"rate_limited", {429, "client"}},
    };
    const std::map<std::string, int> managed{
        {"queue_full", 429},      {"queue_timeout", 429},   {"replica_closed", 424}, {"replica_bad_response", 424},
        {"replica_stalled", 408}, {"request_timeout", 408}, {"total_timeout", 408},  {"model_error", 424},
    };
    CHECK(contract.size() == fault_count - 1);
    for (std::size_t i = 1; i < fault_count; ++i) {
        const auto& each = fault_table[i];
        const auto promised = contract.find(std::string(each.token));
        INFO(each.token);
        REQUIRE(promised != contract.end());
        CHECK(each.status == promised->second.first);
        CHECK(status(each.kind, error_mapping::aks) == each.status);
        CHECK(status(each.kind, error_mapping::passthrough) == each.status);
        const auto other = managed.find(std::string(each.token));
        CHECK(status(each.kind, error_mapping::managed) ==
              static_cast<unsigned>(other == managed.end() ? each.status : other->second));
        CHECK(to_string(each.blame) == promised->second.second);
    }
}
