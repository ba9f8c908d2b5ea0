from grait.cli import main

main()
