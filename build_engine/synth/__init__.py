"""Generated head CTs: anatomy, bleeds, look-alikes, a scanner. numpy and scipy only."""
