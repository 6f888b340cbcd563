#include "base/file_replacement.hpp"

#include "support/certificates.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <sys/stat.h>

using namespace scoregate;
using base::file_replacement;
namespace fs = std::filesystem;

namespace {

std::string content_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}
mode_t mode_of(const fs::path& path) {
    struct stat now {};
    REQUIRE(::stat(path.c_str(), &now) == 0);
    return now.st_mode & 0777;
}
std::size_t entries(const fs::path& folder) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {}));
}

} // namespace

TEST_CASE("new content takes the place of the old in one step, with mode, and leaves nothing beside it") {
    tests::pem_directory folder;
    const auto path = folder.write("key.pem", "old");
    fs::permissions(path, fs::perms::owner_read | fs::perms::group_read);
    std::ifstream reader(path); // somebody is just reading it
    {
        file_replacement fresh(path, "new", 0600);
        CHECK(content_of(path) == "old");
        fresh.commit();
        CHECK(content_of(path) == "new");
    }
    CHECK(content_of(path) == "new");
    CHECK(mode_of(path) == 0440);
    CHECK(std::string(std::istreambuf_iterator<char>(reader), {}) == "old");
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a file that is not there yet gets the mode") {
    tests::pem_directory folder;
    const auto path = folder.path() / "key.pem";
    file_replacement(path, "new", 0640).commit();
    CHECK(content_of(path) == "new");
    CHECK(mode_of(path) == 0640);
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("without commit nothing has happened, after undo it has not either") {
    tests::pem_directory folder;
    const auto path = folder.write("cert.pem", "old"), absent = (folder.path() / "key.pem").string();
    { file_replacement dropped(path, "new", 0600); }
    CHECK(content_of(path) == "old");
    {
        file_replacement undone(path, "new", 0600), undone_too(absent, "new", 0600);
        undone.commit();
        undone_too.commit();
        CHECK(content_of(absent) == "new");
        undone.undo();
        undone_too.undo();
    }
    CHECK(content_of(path) == "old");
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("behind a symbolic link it is the file that is replaced, not the link") {
    tests::pem_directory folder;
    fs::create_directory(folder.path() / "archive");
    const auto real = folder.write("archive/cert1.pem", "old");
    const auto link = folder.path() / "cert.pem";
    fs::create_symlink("archive/cert1.pem", link);
    file_replacement(link, "new", 0600).commit();
    CHECK(fs::is_symlink(link));
    CHECK(content_of(real) == "new");
}

TEST_CASE("where nothing can be written the file is named") {
    tests::pem_directory folder;
    const auto nowhere = (folder.path() / "nowhere" / "cert.pem").string();
    std::optional<std::string> said;
    try {
        file_replacement fresh(nowhere, "new", 0600);
    } catch (const std::runtime_error& error) {
        said = error.what();
    }
    REQUIRE(said);
    CHECK_THAT(*said, Catch::Contains("nowhere"));
    CHECK(entries(folder.path()) == 0);
}
