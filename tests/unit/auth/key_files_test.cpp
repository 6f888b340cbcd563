#include "auth/key_file.hpp"
#include "auth/keys.hpp"
#include "support/certificates.hpp"

#include <catch2/catch.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <new>

namespace {

using namespace scoregate;
using auth::key_name;
using Catch::Contains;

const std::string key_a(43, 'a'), key_b(32, 'b');

// A folder with key files, and what the configuration says of them.
struct keys_folder {
    tests::pem_directory folder;

    std::string path(const std::string& name) const { return (folder.path() / name).string(); }
    config::key_files one() const { return {path("primary"), {}, "/services/iris/keys"}; }
    config::key_files two() const { return {path("primary"), path("secondary"), "/services/iris/keys"}; }
};

std::vector<std::string> messages_of(const auth::key_load& loaded) {
    auto all = loaded.warnings;
    for (const auto& each : loaded.problems) all.push_back(to_string(each));
    return all;
}

} // namespace

TEST_CASE("keys are read from one file or two") {
    const keys_folder at;
    at.folder.write("primary", key_a);
    at.folder.write("secondary", key_b);

    const auto one = auth::load_keys(at.one(), "scoregate.json");
    CHECK(messages_of(one).empty());
    REQUIRE(one.value);
    CHECK(one.value->match(key_a) == key_name::primary);
    CHECK(one.value->match(key_b) == key_name::none);

    const auto two = auth::load_keys(at.two(), "scoregate.json");
    CHECK(messages_of(two).empty());
    REQUIRE(two.value);
    CHECK(two.value->match(key_a) == key_name::primary);
    CHECK(two.value->match(key_b) == key_name::secondary);
}

TEST_CASE("a key file holds one key, with white space around it or not") {
    struct row {
        std::string held, key;
    };
    const std::string all = "AZaz09-._~+/AZaz09-._~+/AZaz09-._~+/==", longest(512, 'k');
    for (const auto& row : std::vector<row>{{key_a, key_a},
                                            {key_a + "\n", key_a},
                                            {key_a + "\r\n", key_a},
                                            {key_a + "\n\n \t\n", key_a},
                                            {"\n \t\v\f\r" + key_a + " ", key_a},
                                            {std::string(3000, ' ') + key_a + std::string(4096 - 3043, '\n'), key_a},
                                            {key_b, key_b}, // 32 characters
                                            {longest + "\n", longest},
                                            {all, all}}) {
        CAPTURE(row.held);
        const keys_folder at;
        at.folder.write("primary", row.held);
        const auto loaded = auth::load_keys(at.one(), "scoregate.json");
        CHECK(messages_of(loaded).empty());
        REQUIRE(loaded.value);
        CHECK(loaded.value->match(row.key) == key_name::primary);
    }
}

TEST_CASE("what cannot be a key is refused with the remedy, and never shown") {
    struct row {
        std::string held, told;
    };
    const std::string secret = "hunter2hunter2hunter2hunter2hunter2";
    const std::string few = "is empty", words = "holds more than one word", odd = "holds characters that no client",
                      guessed = "holds a key of fewer than 32 characters",
                      long_one = "holds a key of more than 512 characters", large = "is larger than 4 KiB";
    for (const auto& row : std::vector<row>{{"", few},
                                            {"\n", few},
                                            {" \t\r\n", few},
                                            {secret.substr(0, 31), guessed},
                                            {secret.substr(0, 31) + "\n", guessed},
                                            {std::string(10, ' ') + secret.substr(0, 30), guessed},
                                            {std::string(513, 'h'), long_one},
                                            {std::string(4096, 'h'), long_one},
                                            {std::string(4097, 'h'), large},
                                            {secret + std::string(5000, '\n'), large},
                                            {std::string(2000000, 'h'), large},
                                            {secret + " " + secret, words},
                                            {secret + "\n" + secret + "\n", words},
                                            {"primary " + secret, words},
                                            {secret + "\"", odd},
                                            {secret + "=" + secret, odd},
                                            {std::string(40, '='), odd},
                                            {secret + "!", odd},
                                            {secret + ":" + secret, odd},
                                            {"\xef\xbb\xbf" + secret, odd}, // a byte order mark
                                            {secret + std::string(1, '\0'), odd},
                                            {secret + "\x7f", odd},
                                            {secret + "\xc3\xb6", odd}}) {
        CAPTURE(row.held.substr(0, 100), row.held.size());
        for (const bool primary : {true, false}) {
            const keys_folder at;
            at.folder.write("primary", primary ? row.held : key_a);
            at.folder.write("secondary", primary ? key_b : row.held);
            const auto loaded = auth::load_keys(at.two(), "scoregate.json");
            CHECK_FALSE(loaded.value);
            CHECK(loaded.warnings.empty());
            REQUIRE(loaded.problems.size() == 1);
            const auto& problem = loaded.problems.front();
            const auto file = at.path(primary ? "primary" : "secondary");
            CHECK(problem.file == "scoregate.json");
            CHECK(problem.pointer ==
                  std::string("/services/iris/keys/") + (primary ? "primary_file" : "secondary_file"));
            CHECK_THAT(problem.message, Catch::StartsWith(file + " " + row.told) &&
                                            Catch::EndsWith("make a key: scoregate key generate > " + file));
            CHECK_THAT(problem.message, !Contains("hunter") && !Contains("hhh"));
        }
    }
}

TEST_CASE("what is no readable file is refused with the remedy, both of them at once") {
    const keys_folder at;
    const auto problems = [&at] { return auth::load_keys(at.two(), "scoregate.json").problems; };
    const auto missing = [&at](const std::string& name) {
        return config::problem{"scoregate.json", "/services/iris/keys/" + name + "_file",
                               "cannot read " + at.path(name) +
                                   ": No such file or directory; correct the path, or make a key: scoregate key "
                                   "generate > " +
                                   at.path(name)};
    };
    CHECK(problems() == config::problems{missing("primary"), missing("secondary")});

    std::filesystem::create_directory(at.path("primary"));
    REQUIRE(::mkfifo(at.path("secondary").c_str(), 0600) == 0); // reading it would wait for ever
    REQUIRE(problems().size() == 2);
    CHECK_THAT(problems()[0].message, Contains(at.path("primary") + ": it is not a regular file; "));
    CHECK_THAT(problems()[1].message, Contains(at.path("secondary") + ": it is not a regular file; "));

    at.folder.write("file", key_a);
    const auto below = auth::load_keys({at.path("file/primary"), {}, ""}, "scoregate.json").problems;
    REQUIRE(below.size() == 1);
    CHECK(below[0].pointer == "/primary_file");
    CHECK_THAT(below[0].message, Contains("Not a directory; check the path"));
}

TEST_CASE("keys are read as Kubernetes mounts a secret") {
    const keys_folder at;
    std::filesystem::create_directory(at.path("..2026_01"));
    at.folder.write("..2026_01/primary", key_a);
    std::filesystem::create_symlink("..2026_01", at.path("..data"));
    std::filesystem::create_symlink("..data/primary", at.path("primary"));
    const auto loaded = auth::load_keys(at.one(), "scoregate.json");
    CHECK(messages_of(loaded).empty());
    REQUIRE(loaded.value);
    CHECK(loaded.value->match(key_a) == key_name::primary);
}

TEST_CASE("a key that others can read is warned about") {
    struct row {
        mode_t mode;
        bool warned;
    };
    const keys_folder at;
    const auto primary = at.folder.write("primary", key_a);
    const auto secondary = at.folder.write("secondary", key_b);
    for (const auto& file : {primary, secondary}) {
        for (const auto& row :
             std::vector<row>{{0644, true}, {0604, true}, {0640, false}, {0400, false}, {0600, false}}) {
            CAPTURE(file, row.mode);
            REQUIRE(::chmod(file.c_str(), row.mode) == 0);
            const auto loaded = auth::load_keys(at.two(), "scoregate.json");
            CHECK(loaded.problems.empty());
            REQUIRE(loaded.value); // a warning is not a refusal
            REQUIRE(loaded.warnings.size() == (row.warned ? 1 : 0));
            if (row.warned)
                CHECK_THAT(loaded.warnings.front(), Catch::StartsWith(file + " can be read by every user") &&
                                                        Contains("; chmod o-r " + file + ","));
        }
    }
}

TEST_CASE("two keys that are the same are warned about") {
    const keys_folder at;
    at.folder.write("primary", key_a);
    at.folder.write("secondary", key_a + "\n");
    const auto loaded = auth::load_keys(at.two(), "scoregate.json");
    CHECK(loaded.problems.empty());
    REQUIRE(loaded.value);
    CHECK(loaded.value->match(key_a) == key_name::primary);
    REQUIRE(loaded.warnings.size() == 1);
    CHECK_THAT(loaded.warnings.front(), Contains("hold the same key") &&
                                            Catch::EndsWith("scoregate key generate > " + at.path("secondary")) &&
                                            !Contains("aaa"));
}

TEST_CASE("equal contents have equal digests, others do not") {
    const keys_folder at;
    std::vector<auth::sha256_digest> seen;
    const auto is_new = [&seen](const config::key_files& files) {
        const auto digest = auth::read_content(files);
        CHECK(auth::load_keys(files, "scoregate.json").content == digest);
        const bool unseen = std::ranges::find(seen, digest) == seen.end();
        seen.push_back(digest);
        return unseen;
    };
    CHECK(is_new(at.one())); // not there
    CHECK_FALSE(is_new(at.one()));
    CHECK(is_new(at.two()));
    at.folder.write("primary", key_a);
    CHECK(is_new(at.one()));
    CHECK(is_new(at.two())); // the second is not there
    at.folder.write("primary", key_a);
    CHECK_FALSE(is_new(at.one()));
    at.folder.write("secondary", key_b);
    CHECK_FALSE(is_new(at.one()));
    CHECK(is_new(at.two()));
    at.folder.write("secondary", key_a);
    at.folder.write("primary", key_b);
    CHECK(is_new(at.two())); // exchanged
    at.folder.write("primary", "");
    CHECK(is_new(at.one()));
    at.folder.write("primary", "short");
    CHECK(is_new(at.one())); // defects differ, too
    at.folder.write("primary", std::string(100000, 'a'));
    CHECK(is_new(at.one()));
    std::filesystem::remove(at.path("primary"));
    CHECK_FALSE(is_new(at.one()));
}

TEST_CASE("a key file is wiped where it dies") {
    const keys_folder at;
    const auto path = at.folder.write("primary", "  " + key_a + "\n");
    alignas(auth::key_file) std::array<char, sizeof(auth::key_file)> place{};
    auto* file = new (place.data()) auth::key_file(path);
    CHECK(file->key() == key_a);
    const std::string_view memory(place.data(), place.size());
    CHECK(memory.find("aaaa") != std::string_view::npos);
    file->~key_file();
    CHECK(memory.find("aaaa") == std::string_view::npos);
}
