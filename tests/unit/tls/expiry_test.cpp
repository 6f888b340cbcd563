#include "support/certificates.hpp"
#include "tls/expiry.hpp"

#include <catch2/catch.hpp>

#include <chrono>

namespace {

using namespace scoregate;
using namespace std::chrono_literals;
using std::chrono::days;
using std::chrono::seconds;
using time_point = tls::certificate::time_point;
using tls::expiry_stage;

constexpr time_point start{std::chrono::sys_days{std::chrono::January / 1 / 2026}};

} // namespace

TEST_CASE("a certificate is warned about at a third of its lifetime, a week and a day before the end") {
    struct row {
        const char* name;
        seconds lifetime, left;
        expiry_stage stage;
    };
    const auto rows = std::vector<row>{
        {"a year: new", days(365), days(365), expiry_stage::fine},
        {"a year: not yet", days(365), days(30) + 1s, expiry_stage::fine},
        {"a year: first", days(365), days(30), expiry_stage::renew},
        {"a year: before the week", days(365), days(7) + 1s, expiry_stage::renew},
        {"a year: week", days(365), days(7), expiry_stage::week},
        {"a year: before the day", days(365), days(1) + 1s, expiry_stage::week},
        {"a year: day", days(365), days(1), expiry_stage::day},
        {"a year: last second", days(365), 0s, expiry_stage::day},
        {"a year: over", days(365), -1s, expiry_stage::expired},
        {"90 days: not yet", days(90), days(30) + 1s, expiry_stage::fine},
        {"90 days: first", days(90), days(30), expiry_stage::renew},
        {"60 days: not yet", days(60), days(20) + 1s, expiry_stage::fine},
        {"60 days: first", days(60), days(20), expiry_stage::renew},
        {"60 days: week", days(60), days(7), expiry_stage::week},
        {"21 days: the week is the third", days(21), days(7), expiry_stage::renew},
        {"21 days: day", days(21), days(1), expiry_stage::day},
        {"6 days: not yet", days(6), days(2) + 1s, expiry_stage::fine},
        {"6 days: first", days(6), days(2), expiry_stage::renew},
        {"6 days: before the day", days(6), days(1) + 1s, expiry_stage::renew},
        {"6 days: day", days(6), days(1), expiry_stage::day},
        {"3 days: the day is the third", days(3), 1s, expiry_stage::renew},
        {"a day: not yet", days(1), 8h + 1s, expiry_stage::fine},
        {"a day: first", days(1), 8h, expiry_stage::renew},
        {"a day: last second", days(1), 0s, expiry_stage::renew},
        {"a day: over", days(1), -1s, expiry_stage::expired},
        {"ends before it begins", -days(9), 1s, expiry_stage::fine},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto end = start + row.lifetime;
        CHECK(tls::stage_of(start, end, end - row.left) == row.stage);
    }
    // Fractions of a second count on the right side of each threshold.
    const auto end = start + days(365);
    CHECK(tls::stage_of(start, end, end - days(7) - 1ns) == expiry_stage::renew);
    CHECK(tls::stage_of(start, end, end - days(7) + 1ns) == expiry_stage::week);
    CHECK(tls::stage_of(start, end, end + 1ns) == expiry_stage::expired);
}

TEST_CASE("dates at the ends of the clock have stages, too") {
    constexpr auto first = time_point::min(), last = time_point::max();
    CHECK(tls::stage_of(first, last, start) == expiry_stage::fine);
    CHECK(tls::stage_of(first, last, first) == expiry_stage::fine);
    CHECK(tls::stage_of(start, last, first) == expiry_stage::fine);
    CHECK(tls::stage_of(first, last, last) == expiry_stage::day);
    CHECK(tls::stage_of(first, start, start) == expiry_stage::day);
    CHECK(tls::stage_of(first, start, last) == expiry_stage::expired);
    CHECK(tls::stage_of(first, first, last) == expiry_stage::expired);
}

TEST_CASE("thresholds come in the order of time, each only where the certificate lives long enough") {
    const auto told = [](seconds lifetime) {
        std::vector<std::pair<expiry_stage, seconds>> list;
        for (const auto& each : tls::expiry_thresholds(start, start + lifetime))
            list.emplace_back(each.stage, each.before_end);
        return list;
    };
    using list = std::vector<std::pair<expiry_stage, seconds>>;
    CHECK(told(days(365)) ==
          list{{expiry_stage::renew, days(30)}, {expiry_stage::week, days(7)}, {expiry_stage::day, days(1)}});
    CHECK(told(days(22)) == list{{expiry_stage::renew, seconds(days(22)) / 3},
                                 {expiry_stage::week, days(7)},
                                 {expiry_stage::day, days(1)}});
    CHECK(told(days(6)) == list{{expiry_stage::renew, days(2)}, {expiry_stage::day, days(1)}});
    CHECK(told(days(1)) == list{{expiry_stage::renew, 8h}});
}

TEST_CASE("spans are told in days, then in hours") {
    struct row {
        seconds time;
        const char* text;
    };
    for (const auto& row : std::vector<row>{{days(30), "30 days"},
                                            {days(3) - 1s, "2 days"},
                                            {days(2), "2 days"},
                                            {days(2) - 1s, "47 hours"},
                                            {2h, "2 hours"},
                                            {2h - 1s, "1 hour"},
                                            {1h - 1s, "less than an hour"},
                                            {0s, "less than an hour"}})
        CHECK(tls::to_text(row.time) == row.text);
}

TEST_CASE("a warning is one sentence that names the certificate, the time left and the remedy") {
    tests::identity_terms terms;
    terms.names = {"www.contoso.com", "a.example", "b.example", "c.example", "d.example"};
    terms.not_before = start;
    terms.not_after = start + days(90);
    const auto certificate = tests::make_hierarchy(terms).certificate();
    const auto subject = "the certificate for pair.example (serial " + certificate->serial() +
                         ", names www.contoso.com, a.example, b.example and 2 more) ";
    const auto warning = [&](expiry_stage stage, seconds left) {
        return tls::expiry_warning(*certificate, "pair.example", stage, terms.not_after - left);
    };
    CHECK(warning(expiry_stage::fine, days(60)).empty());
    const std::string remedy = " and put the new pair in its files, it is taken up without a restart";
    CHECK(warning(expiry_stage::renew, days(30) - 1h) ==
          subject + "expires in 29 days, at 2026-04-01T00:00:00Z: renew it soon" + remedy);
    CHECK(warning(expiry_stage::week, days(7)) ==
          subject + "expires in 7 days, at 2026-04-01T00:00:00Z: renew it now" + remedy);
    CHECK(warning(expiry_stage::day, 20h) ==
          subject + "expires in 20 hours, at 2026-04-01T00:00:00Z: renew it now" + remedy);
    CHECK(warning(expiry_stage::expired, -days(3)) ==
          subject + "expired 3 days ago, at 2026-04-01T00:00:00Z, and clients refuse to connect: put a renewed pair in "
                    "its files at once, it is taken up without a restart");
}

TEST_CASE("the end that a warning names is the certificate's own, also past the clock's range") {
    auto made = tests::make_hierarchy();
    REQUIRE(ASN1_TIME_set_string(X509_getm_notAfter(made.leaf.certificate.get()), "99991231235959Z") == 1);
    REQUIRE(X509_sign(made.leaf.certificate.get(), made.intermediate.key.get(), EVP_sha256()) > 0);
    CHECK_THAT(tls::expiry_warning(*made.certificate(), "x", expiry_stage::renew, start),
               Catch::Contains("at 9999-12-31T23:59:59Z"));
}
